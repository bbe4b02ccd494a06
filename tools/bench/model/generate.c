// SPDX-License-Identifier: BSD-3-Clause
// The configuration that the model's and the control process's benchmarks run on.

#include "tools/bench/model/generate.h"

#include <stdio.h>

char *bench_configuration(unsigned int circuits)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "version: 1\nedges:\n");
	for (int e = 1; e <= 2; e++) {
		fprintf(out, "- name: ams%d\n  ports:\n", e);
		for (int p = 0; p < 4; p++)
			fprintf(out, "  - name: wan%d\n    faces: customer\n", p);
		fprintf(out, "  - name: core0\n    faces: core\n    address: 192.0.2.%d/24\n", e);
	}
	fprintf(out, "customers:\n");
	for (unsigned int i = 0; i <= circuits / 10; i++)
		fprintf(out, "- name: customer-%05u\n", i);
	fprintf(out, "circuits:\n");
	for (unsigned int i = 0; i < circuits; i++) {
		fprintf(out, "- name: circuit-%05u\n  customer: customer-%05u\n", i, i / 10);
		fprintf(out,
			"  service-key: 00000000-0000-4000-8000-%012u\n  bandwidth: 100mbps\n  "
			"links:\n",
			i);
		for (int e = 1; e <= 2; e++)
			fprintf(out,
				"  - role: %s\n    edge: ams%d\n    port: wan%u\n    outer-tag: "
				"%u\n    inner-tag: %u\n",
				e == 1 ? "primary" : "secondary", e, i % 4, i / 4 % 4000 + 1,
				i / 16000 + 1);
		fprintf(out, "  peerings:\n  - type: private\n    primary-subnet: 169.254.10.0/30\n"
			     "    secondary-subnet: 169.254.10.4/30\n    peer-asn: 65001\n    "
			     "local-asn: 64900\n");
		fprintf(out, "  connections:\n  - vnet: vnet-%05u\n", i);
	}
	fprintf(out, "vnets:\n");
	for (unsigned int i = 0; i < circuits; i++) {
		fprintf(out,
			"- name: vnet-%05u\n  customer: customer-%05u\n  prefixes: [10.9.0.0/16]\n "
			" tunnels:\n",
			i, i / 10);
		for (int e = 1; e <= 2; e++)
			fprintf(out,
				"  - {edge: ams%d, gateway: 192.0.2.%u, local: 192.0.2.%d, key: "
				"%u}\n",
				e, 40 + i % 8, e, i);
	}
	fclose(out);
	return text;
}

// SPDX-License-Identifier: BSD-3-Clause
// Node files of any bytes: refused with findings, or taken, and then the data plane's command line can be
// made of them. As a test it mutilates a good file; with -Dfuzz=true it is a libFuzzer target.

#include "control/api/text.h"
#include "control/node.h"
#include "tests/unit/model/base.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node *node = NULL;
	struct api_error error = {0};
	char path[64], *text = NULL;
	int fd = memfd_create("node", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int rc = node_load(path, &node, &text, &error);
	if (rc ? node || !error.message[0] || !api_text_valid(error.message) ||
				(text && !api_text_valid(text))
	       : !node || text)
		abort();
	char **arguments = node ? node_dataplane_args(node) : NULL;
	if (node && !arguments)
		abort();
	node_arguments_free(arguments);
	node_free(node);
	free(text);
	close(fd);
	return 0;
}

#ifndef FUZZ_ENGINE
static const char good[] = "edge: ams1\n"
			   "host-domain: table\n"
			   "lab: false\n"
			   "ports:\n"
			   "  wan0: {device: eth1, mtu: 1504}\n"
			   "  core0: {device: \"0000:3b:00.1\", tpid: 88a8}\n"
			   "  x0: {device: \"net_af_xdp0,iface=eth2\"}\n"
			   "dataplane: {workers: 2, memory: 512MiB, hugepages: false, fib-memory: "
			   "64MiB, eal: [--no-telemetry]}\n"
			   "socket-mode: \"0660\"\n"
			   "socket-group: culvert\n"
			   "roles:\n"
			   "  - {user: root, role: admin}\n"
			   "  - {gid: \"100\", role: viewer}\n";

int main(int argc, char **argv)
{
	static const char special[] = "{}[]:-,&*!|>'\"%@`#? \n\t\0/0129amz\xff\xc3";
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 2000;

	srand(random_seed());
	for (unsigned int round = 0; round < rounds; round++) {
		uint8_t text[sizeof(good)];
		size_t length = sizeof(text) - 1;
		memcpy(text, good, length);
		for (int i = rand() % 4; i > 0; i--) {
			size_t at = (size_t)rand() % length;
			if (rand() % 4 == 0)
				length = at + 1;
			else
				text[at] = (uint8_t)(rand() % 8 ? special[(size_t)rand() %
									  sizeof(special)]
								: rand());
		}
		LLVMFuzzerTestOneInput(text, length);
	}
	return 0;
}
#endif

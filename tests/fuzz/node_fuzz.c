// SPDX-License-Identifier: BSD-3-Clause
// Node files of any bytes: refused with findings, or taken, and then the data plane's command line can be
// made of them. As a test it mutilates a good file; with -Dfuzz=true it is a libFuzzer target.

#include "control/api/text.h"
#include "control/node.h"
#include "tests/fuzz/mutilate.h"

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
	return mutilate_often(argc, argv, good, LLVMFuzzerTestOneInput);
}
#endif

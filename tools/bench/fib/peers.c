/* SPDX-License-Identifier: BSD-3-Clause */
// DPDK's tables, as contenders and as oracles, and the memory they live in.
//
// Without hugepages EAL would give them 4 KiB pages, which costs them most of what they are good
// at. So this program brings its own rte_malloc family, which the dynamic linker prefers to EAL's:
// large blocks come from memory that asks for transparent hugepages, the same as the FIB's. (Nodes
// of rte_rib, used by updates of rte_fib only, still come from EAL's memory.)

#include "tools/bench/fib/bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>
#include <rte_malloc.h>
#include <rte_vect.h>

#define HUGE_PAGE (2ul << 20)

void *huge_alloc(size_t bytes)
{
	size_t size = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	bool huge = bytes >= HUGE_PAGE / 4;
	if (!huge)
		size = bytes;
	char *at = mmap(NULL, size + (huge ? HUGE_PAGE : 0), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		fprintf(stderr, "no memory for %zu bytes\n", bytes);
		exit(1);
	}
	if (!huge)
		return at;
	size_t skip = (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE;
	if (skip)
		munmap(at, skip);
	munmap(at + skip + size, HUGE_PAGE - skip);
	madvise(at + skip, size, MADV_HUGEPAGE);
	return at + skip;
}

void huge_free(void *at, size_t bytes)
{
	bool huge = bytes >= HUGE_PAGE / 4;
	munmap(at, huge ? (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1) : bytes);
}

struct header {
	size_t size;
	void *start;
	size_t whole;
	uint64_t magic;
	uint64_t pad[4];
};
#define MAGIC 0x62656e6368666962ull
static size_t held;

size_t peer_bytes(void)
{
	return held;
}

static void *give(size_t size)
{
	size_t whole = size + sizeof(struct header);
	char *start = whole < 65536 ? aligned_alloc(64, (whole + 63) & ~63ul) : huge_alloc(whole);
	if (!start)
		return NULL;
	if (whole < 65536)
		memset(start, 0, whole);
	struct header *h = (struct header *)start;
	*h = (struct header){.size = size, .start = start, .whole = whole, .magic = MAGIC};
	held += size;
	return h + 1;
}

void *rte_malloc(const char *type, size_t size, unsigned align)
{
	return give(size);
}
void *rte_zmalloc(const char *type, size_t size, unsigned align)
{
	return give(size);
}
void *rte_calloc(const char *type, size_t num, size_t size, unsigned align)
{
	return give(num * size);
}
void *rte_malloc_socket(const char *type, size_t size, unsigned align, int socket)
{
	return give(size);
}
void *rte_zmalloc_socket(const char *type, size_t size, unsigned align, int socket)
{
	return give(size);
}
void *rte_calloc_socket(const char *type, size_t num, size_t size, unsigned align, int socket)
{
	return give(num * size);
}
void rte_free(void *at)
{
	if (!at)
		return;
	struct header *h = (struct header *)at - 1;
	if (h->magic != MAGIC) { // a memzone, which EAL made within itself
		void (*eal_free)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "rte_free");
		eal_free(at);
		return;
	}
	held -= h->size;
	if (h->whole < 65536)
		free(h->start);
	else
		huge_free(h->start, h->whole);
}

int peers_init(void)
{
	char *args[] = {"fib-bench", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"1536", "-l", "0", "--log-level=error", "--force-max-simd-bitwidth=512", NULL};
	return rte_eal_init(11, args) < 0 ? -1 : 0;
}

static const char *name(void)
{
	static char text[24];
	static unsigned n;
	snprintf(text, sizeof(text), "bench%u", n++);
	return text;
}

struct rte_lpm *peer_lpm(unsigned routes)
{
	struct rte_lpm_config config = {
		.max_rules = routes + 64, .number_tbl8s = routes < 100000 ? 4096 : 65536};
	return rte_lpm_create(name(), -1, &config);
}

struct rte_fib *peer_fib(unsigned routes)
{
	struct rte_fib_conf config = {.type = RTE_FIB_DIR24_8,
		.max_routes = (int)(routes * 2 + 64),
		.dir24_8 = {
			.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = routes < 100000 ? 4096 : 65536}};
	return rte_fib_create(name(), -1, &config);
}

struct rte_lpm6 *peer_lpm6(unsigned routes)
{
	struct rte_lpm6_config config = {.max_rules = routes + 64, .number_tbl8s = 65536};
	return rte_lpm6_create(name(), -1, &config);
}

struct rte_fib6 *peer_fib6(unsigned routes)
{
	struct rte_fib6_conf config = {.type = RTE_FIB6_TRIE,
		.max_routes = (int)(routes * 2 + 64),
		.trie = {.nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = 65536}};
	return rte_fib6_create(name(), -1, &config);
}

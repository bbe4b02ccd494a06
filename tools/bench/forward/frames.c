// SPDX-License-Identifier: BSD-3-Clause
// The frames of a row: who sends what to whom, written as a pcap file for net_pcap. Called by forward-load alone.
// IPv4 and UDP, 60 bytes without FCS and tags or IMIX 7:4:1; destinations lie evenly in the circuit's routes.

#include "tools/bench/forward/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
const uint8_t their_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

static uint64_t next(uint64_t *state) // splitmix64
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

// A BGP-like mix: 60 % /24, the rest evenly /16../23, all outside 0/8, 10/8 and 127/8 and below 224/8.
static struct prefix internet_prefix(uint64_t *state)
{
	uint64_t r = next(state);
	struct prefix p = {.len = (r % 10 < 6) ? 24 : (uint8_t)(16 + (r >> 8) % 8)};

	do
		p.addr = (uint32_t)(next(state) >> 32) & (0xffffffffu << (32 - p.len));
	while (p.addr >> 24 == 0 || p.addr >> 24 == 10 || p.addr >> 24 == 127 ||
		p.addr >> 24 >= 224);
	return p;
}

struct prefix random_prefix(const struct row *row, uint32_t circuit, uint64_t *state)
{
	struct random random = {*state};
	struct prefix p;

	if (!row->internal)
		return internet_prefix(state);
	do
		p = make_prefix(MIX_CUSTOMER, &random, circuit_seed(row, circuit));
	while (((p.addr ^ SOURCES) & 0xffff0000u) == 0);
	*state = random.state;
	return p;
}

uint64_t circuit_seed(const struct row *row, uint32_t circuit)
{
	uint64_t state = row->seed * 1000003 + circuit;
	return next(&state);
}

// ---- frames

void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static void put_ipv4(
	uint8_t *ip, uint32_t source, uint32_t destination, uint8_t protocol, unsigned length)
{
	uint32_t sum = 0;

	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, length);
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, source);
	put32(ip + 16, destination);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

// 802.1Q as long as one tag tells all circuits apart, else QinQ.
unsigned vlan_stack(const struct row *row, uint32_t circuit, uint16_t vlan[2])
{
	vlan[0] = (uint16_t)(circuit % 4000 + 1);
	vlan[1] = 0;
	if (row->circuits <= 4000)
		return 1;
	vlan[1] = vlan[0];
	vlan[0] = (uint16_t)(circuit / 4000 + 1);
	return 2;
}

uint32_t tunnel_key(const struct row *row, uint32_t pair, uint32_t circuit)
{
	return pair * row->circuits + circuit + 1;
}

// Length of the frame. `size` is its length without tag and outer headers.
static unsigned make_frame(uint8_t *frame, const struct row *row, uint32_t circuit,
	uint32_t destination, uint32_t flow, unsigned size)
{
	unsigned inner = size - 14, offset = 14;

	memset(frame, 0, 2048);
	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, their_mac, 6);
	if (row->decap) {
		put16(frame + 12, 0x0800);
		put_ipv4(frame + 14, REMOTE_OUTER + row->pair, LOCAL_OUTER + row->pair, 47,
			28 + inner);
		put16(frame + 34, 0x2000);
		put16(frame + 36, 0x0800);
		put32(frame + 38, tunnel_key(row, row->pair, circuit));
		offset = 42;
	} else {
		uint16_t vlan[2];
		unsigned tags = vlan_stack(row, circuit, vlan);

		offset = 12;
		for (unsigned i = 0; i < tags; i++, offset += 4) {
			put16(frame + offset, 0x8100);
			put16(frame + offset + 2, vlan[i]);
		}
		put16(frame + offset, 0x0800);
		offset += 2;
	}
	put_ipv4(frame + offset, SOURCES | (flow & 0xffff), destination, 17, inner);
	put16(frame + offset + 20, 1024 + flow % 50000);
	put16(frame + offset + 22, 53);
	put16(frame + offset + 24, inner - 20);
	return offset + inner;
}

// Circuit of each flow. Even: flow f belongs to circuit f mod circuits. Zipf: the k-th busiest has 1/k of the flows of
// the first, and which one that is has nothing to do with its place in any table.
static void draw_circuits(const struct row *row, uint64_t *state, uint32_t *of_flow)
{
	struct random random = {next(state)};

	for (uint32_t f = 0; f < row->flows; f++)
		of_flow[f] = row->zipf ? (uint32_t)(zipf(&random, row->circuits) * 2654435761ull %
						    row->circuits)
				       : f % row->circuits;
}

// Where each flow's frame stands in the file: a random order.
static void shuffle(uint64_t *state, uint32_t *place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		place[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next(state) % (i + 1)), swap = place[i];
		place[i] = place[j];
		place[j] = swap;
	}
}

// Frames are sorted by circuit first, because a circuit's prefixes are made anew and only one set is in memory.
static void make_frames(const struct row *row, uint64_t *state, uint8_t *all, uint16_t *lengths)
{
	static const unsigned imix[12] = {60, 60, 60, 60, 60, 60, 60, 570, 570, 570, 570, 1400};
	struct prefix *prefixes = malloc(sizeof(*prefixes) * row->routes);
	uint32_t *place = malloc(sizeof(*place) * row->flows);
	uint32_t *of_flow = malloc(sizeof(*of_flow) * row->flows);
	uint32_t *next_of = malloc(sizeof(*next_of) * row->flows);
	uint32_t *first_of = malloc(sizeof(*first_of) * row->circuits);

	shuffle(state, place, row->flows);
	draw_circuits(row, state, of_flow);
	memset(first_of, 0xff, sizeof(*first_of) * row->circuits);
	for (uint32_t f = row->flows; f-- > 0;) {
		next_of[f] = first_of[of_flow[f]];
		first_of[of_flow[f]] = f;
	}
	for (uint32_t circuit = 0; circuit < row->circuits; circuit++) {
		uint64_t of_circuit = circuit_seed(row, circuit);
		for (uint32_t i = 0; i < row->routes && first_of[circuit] != UINT32_MAX; i++)
			prefixes[i] = random_prefix(row, circuit, &of_circuit);
		for (uint32_t f = first_of[circuit]; f != UINT32_MAX; f = next_of[f]) {
			const struct prefix *p = &prefixes[next(state) % row->routes];
			uint32_t host =
				(uint32_t)next(state) & ~(uint32_t)(0xffffffff00000000u >> p->len);
			unsigned size = row->imix ? imix[next(state) % 12] : 60;
			lengths[place[f]] = (uint16_t)make_frame(all + (size_t)place[f] * 2048, row,
				circuit, p->addr | host, f, size);
		}
	}
	free(prefixes);
	free(place);
	free(of_flow);
	free(next_of);
	free(first_of);
}

int write_pcap(const char *path, const struct row *row)
{
	static const uint32_t head[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
	uint8_t *all = calloc(row->flows, 2048);
	uint16_t *lengths = calloc(row->flows, sizeof(*lengths));
	uint64_t state = row->seed + 77;
	FILE *out = fopen(path, "wb");

	if (out == NULL || all == NULL || lengths == NULL)
		return -1;
	make_frames(row, &state, all, lengths);
	fwrite(head, sizeof(head), 1, out);
	for (uint32_t i = 0; i < row->flows; i++) {
		uint32_t record[4] = {0, 0, lengths[i], lengths[i]};
		fwrite(record, sizeof(record), 1, out);
		fwrite(all + (size_t)i * 2048, lengths[i], 1, out);
	}
	free(all);
	free(lengths);
	return fclose(out);
}

/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup with AVX2 and BMI2; fib_lookup_avx512.c in halves.

#if defined(__clang__)
#pragma clang attribute push( \
	__attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2,popcnt,lzcnt")
#endif
#include <immintrin.h>

#include "dataplane/tables/fib_private.h"

static inline __m256i load(const void *at)
{
	return _mm256_loadu_si256(at);
}

static inline uint32_t lanes32(__m256i v)
{
	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(v));
}

static inline uint32_t line_ref(const uint64_t *line, uint32_t tag)
{
	__m256i key = _mm256_set1_epi32((int)tag), zero = _mm256_setzero_si256();
	__m256i v0 = load(line), v1 = load(line + 4);
	uint32_t tags = lanes32(_mm256_cmpeq_epi32(v0, key)) | lanes32(_mm256_cmpeq_epi32(v1, key))
								       << 8;
	uint32_t none =
		lanes32(_mm256_cmpeq_epi32(v0, zero)) | lanes32(_mm256_cmpeq_epi32(v1, zero)) << 8;
	uint32_t hit = tags & 0xaaaa & ~(none << 1);
	// The slot keeps its tag, so its ref may be read again: it is for this tag, or 0 by now.
	uint32_t ref = __atomic_load_n(
		(const uint32_t *)line + ((_tzcnt_u32(hit) - 1) & 15), __ATOMIC_ACQUIRE);
	return ref & -(uint32_t)(hit != 0);
}

static inline uint64_t equal_mask(const uint8_t kinds[FIB_BULK], uint8_t kind)
{
	__m256i key = _mm256_set1_epi8((char)kind);
	uint32_t lower = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(kinds), key));
	uint32_t upper = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(kinds + 32), key));
	return lower | (uint64_t)upper << 32;
}

static inline uint64_t repeats(const uint32_t *words, unsigned n, uint32_t bits)
{
	__m256i cared = _mm256_set1_epi32((int)bits), zero = _mm256_setzero_si256();
	uint64_t mask = 0;
	unsigned i = 1;
	for (; i + 8 <= n; i += 8) {
		__m256i differ = _mm256_xor_si256(load(words + i), load(words + i - 1));
		differ = _mm256_and_si256(differ, cared);
		mask |= (uint64_t)lanes32(_mm256_cmpeq_epi32(differ, zero)) << i;
	}
	for (; i < n; i++)
		mask |= (uint64_t)(((words[i] ^ words[i - 1]) & bits) == 0) << i;
	return mask;
}

// Bytes of a result mask: two for each key.
static inline uint32_t below16(const uint16_t *keys, __m256i low)
{
	__m256i v = load(keys);
	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_max_epu16(v, low), low));
}

static inline unsigned bucket_count(const struct bucket *b, uint32_t low, unsigned most)
{
	__m256i key = _mm256_set1_epi16((short)low);
	unsigned n = b->n;
	uint64_t lower = below16(b->keys, key);
	if (most <= 16)
		return (unsigned)__builtin_popcountll(_bzhi_u64(lower, 2 * n)) / 2;
	lower |= (uint64_t)below16(b->keys + 16, key) << 32;
	if (most <= 32)
		return (unsigned)__builtin_popcountll(_bzhi_u64(lower, 2 * n)) / 2;
	uint64_t upper = below16(b->keys + 32, key) | (uint64_t)below16(b->keys + 48, key) << 32;
	upper = _bzhi_u64(upper, n > 32 ? 2 * (n - 32) : 0);
	lower = _bzhi_u64(lower, n > 32 ? 64 : 2 * n);
	return (unsigned)(__builtin_popcountll(lower) + __builtin_popcountll(upper)) / 2;
}

static inline uint32_t below32(const uint32_t *keys, __m256i addr)
{
	__m256i v = load(keys);
	return lanes32(_mm256_cmpeq_epi32(_mm256_max_epu32(v, addr), addr));
}

static inline unsigned range_count(const struct range *range, uint32_t addr)
{
	__m256i key = _mm256_set1_epi32((int)addr);
	uint32_t below = below32(range->keys, key) | below32(range->keys + 8, key) << 8 |
			 below32(range->keys + 16, key) << 16 |
			 below32(range->keys + 24, key) << 24;
	return (unsigned)__builtin_popcount(_bzhi_u32(below, range->n));
}

#define LOOKUP4 lookup4_avx2
#define LOOKUP6 lookup6_avx2
#include "dataplane/tables/fib_lookup_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup with AVX-512 (F, BW, VL) and BMI2: a line of the hash is one compare, a bucket two, and the
// masks count themselves. Readers may look past a block's end (the arena is padded); what they find is masked.

#if defined(__clang__)
#pragma clang attribute push(                                                       \
	__attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2,popcnt,lzcnt"))), \
	apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,bmi,bmi2,popcnt,lzcnt")
#endif
#include <immintrin.h>

#include "dataplane/tables/fib_private.h"

static inline uint32_t line_ref(const uint64_t *line, uint32_t tag)
{
	__m512i v = _mm512_load_si512(line);
	uint32_t tags = _mm512_mask_cmpeq_epi32_mask(0xaaaa, v, _mm512_set1_epi32((int)tag));
	uint32_t refs = _mm512_mask_test_epi32_mask(0x5555, v, v);
	uint32_t hit = tags & (refs << 1);
	// The slot keeps its tag, so its ref may be read again: it is for this tag, or 0 by now.
	uint32_t ref = __atomic_load_n(
		(const uint32_t *)line + ((_tzcnt_u32(hit) - 1) & 15), __ATOMIC_ACQUIRE);
	return hit ? ref : 0;
}

static inline unsigned bucket_count(const struct bucket *b, uint32_t low, bool is_long)
{
	__m512i key = _mm512_set1_epi16((short)low);
	uint64_t below = _mm512_cmple_epu16_mask(_mm512_loadu_si512(b->keys), key);
	if (is_long)
		below |= (uint64_t)_mm512_cmple_epu16_mask(_mm512_loadu_si512(b->keys + 32), key)
			 << 32;
	return (unsigned)__builtin_popcountll(_bzhi_u64(below, b->n));
}

static inline unsigned range_count(const struct range *range, uint32_t addr)
{
	__m512i key = _mm512_set1_epi32((int)addr);
	uint32_t below = _mm512_cmple_epu32_mask(_mm512_loadu_si512(range->keys), key);
	below |= (uint32_t)_mm512_cmple_epu32_mask(_mm512_loadu_si512(range->keys + 16), key) << 16;
	return (unsigned)__builtin_popcount(_bzhi_u32(below, range->n));
}

#define LOOKUP4 lookup4_avx512
#define LOOKUP6 lookup6_avx512
#include "dataplane/tables/fib_lookup_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

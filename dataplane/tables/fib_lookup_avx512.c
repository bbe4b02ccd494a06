/* SPDX-License-Identifier: BSD-3-Clause */
// The bulk lookup with AVX-512 (F, BW, DQ, VL) and BMI2: a line of the hash is one compare, a
// bucket two, and the masks count themselves. Readers may look past a block's end (the arena is
// padded); what they find is masked.

#if defined(__clang__)
#pragma clang attribute push(                                                                \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt,lzcnt"))), \
	apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt,lzcnt")
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
	return ref & -(uint32_t)(hit != 0);
}

static inline uint64_t equal_mask(const uint8_t kinds[FIB_BULK], uint8_t kind)
{
	return _mm512_cmpeq_epi8_mask(_mm512_load_si512(kinds), _mm512_set1_epi8((char)kind));
}

static inline uint64_t repeats(const uint32_t *words, unsigned n, uint32_t bits)
{
	__m512i before = _mm512_setzero_si512(), cared = _mm512_set1_epi32((int)bits);
	uint64_t mask = 0;
	for (unsigned i = 0; i < n; i += 16) {
		__mmask16 there = (__mmask16)_bzhi_u32(0xffff, n - i);
		__m512i v = _mm512_maskz_loadu_epi32(there, words + i);
		__m512i differ = _mm512_xor_si512(v, _mm512_alignr_epi32(v, before, 15));
		mask |= (uint64_t)_mm512_mask_testn_epi32_mask(there, differ, cared) << i;
		before = v;
	}
	return mask & ~1ull;
}

static inline unsigned bucket_count(const struct bucket *b, uint32_t low, unsigned most)
{
	__m512i key = _mm512_set1_epi16((short)low);
	if (most <= 16) {
		__m256i keys = _mm256_loadu_si256((const void *)b->keys);
		uint32_t few = _mm256_cmple_epu16_mask(keys, _mm512_castsi512_si256(key));
		return (unsigned)__builtin_popcount(_bzhi_u32(few, b->n));
	}
	uint64_t below = _mm512_cmple_epu16_mask(_mm512_loadu_si512(b->keys), key);
	if (most > 32)
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

struct hashes6;
static inline uint64_t hash_slices(
	const struct record6 *record, struct key key, struct hashes6 *out);

#define HASH_SLICES
#define LOOKUP4 lookup4_avx512
#define LOOKUP6 lookup6_avx512
#include "dataplane/tables/fib_lookup_body.h"

// hash6() for all slices at once.
static inline uint64_t hash_slices(
	const struct record6 *record, struct key key, struct hashes6 *out)
{
	const __m512i factor = _mm512_set1_epi64((long long)0xd6e8feb86659fd93ull);
	__m512i word = _mm512_load_si512(record);
	__m512i hi = _mm512_and_si512(
		_mm512_set1_epi64((long long)key.hi), _mm512_loadu_si512(mask_hi + 1));
	__m512i lo = _mm512_and_si512(
		_mm512_set1_epi64((long long)key.lo), _mm512_loadu_si512(mask_lo + 1));
	__m512i h = _mm512_mullo_epi64(_mm512_xor_si512(hi, _mm512_srli_epi64(word, 36)), factor);
	h = _mm512_add_epi64(_mm512_xor_si512(h, _mm512_srli_epi64(h, 32)), lo);
	h = _mm512_mullo_epi64(h, factor);
	h = _mm512_xor_si512(h, _mm512_srli_epi64(h, 32));
	__m512i log2 = _mm512_and_si512(_mm512_srli_epi64(word, 2), _mm512_set1_epi64(31));
	__m512i lines = _mm512_sllv_epi64(_mm512_set1_epi64(-1), log2);
	__m512i line = _mm512_andnot_si512(lines, _mm512_srli_epi64(h, 31));
	__m512i unit = _mm512_and_si512(_mm512_srli_epi64(word, 7), _mm512_set1_epi64(REF_UNIT));
	_mm256_storeu_si256((void *)out->unit, _mm512_cvtepi64_epi32(_mm512_add_epi64(unit, line)));
	__m512i tag = _mm512_or_si512(h, _mm512_set1_epi64(TAG));
	_mm256_storeu_si256((void *)out->tag, _mm512_cvtepi64_epi32(tag));
	return _mm512_test_epi64_mask(word, word) & 0x7f;
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

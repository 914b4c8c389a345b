// SPDX-License-Identifier: GPL-2.0
/*
 * codec.c - host ops: LZO, the checksum, and the buffers they work in.
 *
 * LZO1X is called directly: no crypto API, no transform to allocate, no
 * indirect call. The compressor wants 16 KiB of scratch and room for a page
 * that grows; both are per CPU, lent with preemption off.
 *
 * Interrupts. Nothing stops an interrupt from putting a page while the task
 * it interrupted compresses on the same CPU. Contexts nest in one order only,
 *
 *	task  <  softirq  <  hardirq
 *
 * each at most once, last in first out. So a depth counter without any atomic
 * operation tells who came first: depth 0 takes the workspace; a deeper one is
 * told that there is none, and the core refuses or stores raw. Every level has
 * a bounce page of its own, so reading back always works.
 *
 * CPUs come and go: the buffers of a CPU (36 KiB) are made before it comes up
 * and freed when it is dead (cpuhp), so a running CPU always has them.
 *
 * Checksum: four lanes of additions and rotations, joined by multiplications.
 * It is to find what a bad cell or a stray write does to a frame, not to
 * withstand anybody: any change of one word of a lane changes the sum. Measured
 * beside others on the same pages, added to a get while it was computed before
 * decoding: xxh64 7.1 %, the crc32 instruction 6.6 % (three streams 3.9 %),
 * multiply-and-fold 3.2 %, this 2.6 %. After decoding, as it is now, this adds
 * 1.8 % (Documentation/benchmarks.md): 45 ns for 1550 bytes, of which 35
 * are a rotation for each word. Eight lanes are no faster.
 */
#include <linux/bitops.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/lzo.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "glue.h"
#include "lock_stats.h"

#if !IS_ENABLED(CONFIG_LZO_COMPRESS) || !IS_ENABLED(CONFIG_LZO_DECOMPRESS)
#error "tmem needs a kernel with CONFIG_LZO_COMPRESS and CONFIG_LZO_DECOMPRESS"
#endif

enum level { LEVEL_TASK, LEVEL_SOFTIRQ, LEVEL_HARDIRQ, LEVELS };

struct codec_cpu {
	unsigned int depth;	/* codec_begin without codec_end on this CPU */
	void *workspace;
	void *output;
	void *bounce[LEVELS];
};

static DEFINE_PER_CPU(struct codec_cpu, codec_cpus);
static enum cpuhp_state hotplug_state;

static enum level current_level(void)
{
	if (hardirq_count())
		return LEVEL_HARDIRQ;
	return in_serving_softirq() ? LEVEL_SOFTIRQ : LEVEL_TASK;
}

/**
 * tmem_codec_begin - borrow this CPU's buffers
 *
 * Context: Any but NMI; not twice in one context. Preemption is off until
 * tmem_codec_end().
 * Return: The buffers; workspace and output are NULL if this context
 * interrupted another that has them.
 */
struct tmem_codec_buffers tmem_codec_begin(void)
{
	struct tmem_codec_buffers buffers = { };
	struct codec_cpu *cpu = &get_cpu_var(codec_cpus);
	unsigned int depth = READ_ONCE(cpu->depth);

	tmem_lock_stats_codec_begin(_RET_IP_);
	/*
	 * An interrupt between this load and this store sees the old depth and
	 * has restored it when it returns.
	 */
	WRITE_ONCE(cpu->depth, depth + 1);
	barrier();

	buffers.bounce = cpu->bounce[current_level()];
	if (!depth) {
		buffers.workspace = cpu->workspace;
		buffers.output = cpu->output;
	}
	return buffers;
}

/**
 * tmem_codec_end - give the buffers back
 *
 * Context: As tmem_codec_begin() left it.
 */
void tmem_codec_end(void)
{
	struct codec_cpu *cpu = this_cpu_ptr(&codec_cpus);

	barrier();
	WRITE_ONCE(cpu->depth, READ_ONCE(cpu->depth) - 1);
	tmem_lock_stats_codec_end();
	put_cpu_var(codec_cpus);
}

/**
 * tmem_compress - compress a page
 * @page: TMEM_PAGE_BYTES
 * @output: TMEM_CODEC_OUTPUT_BYTES
 * @output_bytes: the compressed size, which may exceed the page's
 * @workspace: from tmem_codec_begin()
 *
 * Context: Any but NMI.
 * Return: 0, or nonzero if the compressor gave up.
 */
int tmem_compress(const void *page, void *output, unsigned long *output_bytes, void *workspace)
{
	size_t bytes = TMEM_CODEC_OUTPUT_BYTES;
	int error = lzo1x_1_compress(page, TMEM_PAGE_BYTES, output, &bytes, workspace);

	*output_bytes = bytes;
	return error;
}

/**
 * tmem_decompress - the inverse of tmem_compress()
 * @input: what was stored; may be damaged
 * @input_bytes: its size
 * @page: TMEM_PAGE_BYTES, never overrun
 *
 * Context: Any but NMI.
 * Return: 0 if exactly one page came out, else nonzero and @page is garbage.
 */
int tmem_decompress(const void *input, unsigned long input_bytes, void *page)
{
	size_t bytes = TMEM_PAGE_BYTES;
	int error = lzo1x_decompress_safe(input, input_bytes, page, &bytes);

	if (error != LZO_E_OK)
		return error;
	return bytes == TMEM_PAGE_BYTES ? 0 : LZO_E_ERROR;
}

#define LANES 4
#define WORD sizeof(u64)

static u64 load(const u8 *word)
{
	u64 value;

	__builtin_memcpy(&value, word, sizeof(value));	/* it may not be aligned; one load, also under UML */
	return value;
}

/*
 * What there is of the word at @at before the end, and zeros; the data's last
 * whole word lies at @last. No branch that could be guessed wrongly, no call.
 */
static u64 load_last(const u8 *at, const u8 *last)
{
	const u8 *from = min(at, last);
	const unsigned long passed = at - from;
	const u64 value = load(from) >> (passed * BITS_PER_BYTE & 63);

	return passed < WORD ? value : 0;
}

/* Adds a word to a lane: another word gives another lane, whatever the lane was. */
static u64 mix(u64 lane, u64 word)
{
	return rol64(lane + word, 29);
}

/**
 * tmem_checksum - a 32-bit checksum
 * @data: anything
 * @bytes: its size
 *
 * Context: Any.
 * Return: The checksum.
 */
unsigned int tmem_checksum(const void *data, unsigned long bytes)
{
	/* Odd numbers with about as many ones as zeros: digits of pi. */
	static const u64 seeds[LANES] = { 0x243f6a8885a308d3, 0x13198a2e03707345,
					  0xa4093822299f31d1, 0x082efa98ec4e6c89 };
	const u8 *at = data, *const end = at + bytes;
	u64 a = seeds[0], b = seeds[1], c = seeds[2], d = seeds[3];
	u64 sum = bytes, few = 0;

	for (; end - at >= LANES * WORD; at += LANES * WORD) {
		a = mix(a, load(at));
		b = mix(b, load(at + WORD));
		c = mix(c, load(at + 2 * WORD));
		d = mix(d, load(at + 3 * WORD));
	}
	if (likely(bytes >= WORD)) {
		a = mix(a, load_last(at, end - WORD));
		b = mix(b, load_last(at + WORD, end - WORD));
		c = mix(c, load_last(at + 2 * WORD, end - WORD));
		d = mix(d, load_last(at + 3 * WORD, end - WORD));
	} else {
		memcpy(&few, at, bytes);
		a = mix(a, few);
		b = mix(b, 0);
		c = mix(c, 0);
		d = mix(d, 0);
	}
	/* Here a bit of any lane reaches all bits. */
	sum = (sum ^ a) * seeds[1];
	sum = (rol64(sum, 32) ^ b) * seeds[2];
	sum = (rol64(sum, 32) ^ c) * seeds[3];
	sum = (rol64(sum, 32) ^ d) * seeds[0];
	return (u32)sum ^ (u32)(sum >> 32);
}

static int free_buffers(unsigned int number)
{
	struct codec_cpu *cpu = per_cpu_ptr(&codec_cpus, number);
	enum level level;

	WARN_ON_ONCE(cpu->depth);
	for (level = LEVEL_TASK; level < LEVELS; level++)
		free_page((unsigned long)cpu->bounce[level]);
	kfree(cpu->output);
	kfree(cpu->workspace);
	memset(cpu, 0, sizeof(*cpu));
	return 0;
}

static int alloc_buffers(unsigned int number)
{
	struct codec_cpu *cpu = per_cpu_ptr(&codec_cpus, number);
	int node = cpu_to_node(number);
	bool complete;
	enum level level;

	cpu->workspace = kmalloc_node(LZO1X_1_MEM_COMPRESS, GFP_KERNEL, node);
	cpu->output = kmalloc_node(TMEM_CODEC_OUTPUT_BYTES, GFP_KERNEL, node);
	complete = cpu->workspace && cpu->output;
	for (level = LEVEL_TASK; level < LEVELS; level++) {
		struct page *page = alloc_pages_node(node, GFP_KERNEL, 0);

		cpu->bounce[level] = page ? page_address(page) : NULL;
		complete = complete && page;
	}
	if (complete)
		return 0;
	free_buffers(number);
	return -ENOMEM;
}

static void free_all_buffers(void)
{
	unsigned int number;

	for_each_possible_cpu(number)
		free_buffers(number);
}

/**
 * tmem_codec_start - make the buffers of every CPU, present and future
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value, and then nothing is left.
 */
int tmem_codec_start(void)
{
	unsigned int number;
	int result = 0;

	/*
	 * The CPUs that are up are served here and not through the callback:
	 * for this class of states 5.10 and 6.1 forget to call it for them.
	 */
	cpus_read_lock();
	for_each_online_cpu(number)
		result = result ? result : alloc_buffers(number);
	if (!result)
		result = cpuhp_setup_state_nocalls_cpuslocked(CPUHP_BP_PREPARE_DYN, "mm/tmem:codec",
							      alloc_buffers, free_buffers);
	cpus_read_unlock();
	if (result < 0) {
		free_all_buffers();
		return result;
	}
	hotplug_state = result;
	return 0;
}

/**
 * tmem_codec_stop - free the buffers; nobody has them
 *
 * Context: Process context. May sleep.
 */
void tmem_codec_stop(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
	free_all_buffers();
}

// SPDX-License-Identifier: GPL-2.0
/*
 * bpf-tracer - attaches BPF programs to the entry and the exit of kernel functions, as tracing tools do, and counts.
 *
 *   bpf-tracer entry|both FUNCTION...
 *
 * "entry": a program at the entry of each (fentry). "both": one at its exit too (fexit): the kernel makes
 * another kind of trampoline for that, which calls the function itself. Prints "attached" once all are there, then waits for
 * SIGTERM, prints "FUNCTION entered N[ left N]" for each, and ends.
 *
 * By system calls alone: what a function's number is in the kernel's BTF is all that a library would be needed for.
 *
 * Exit: 0, 1 one of them was refused, 4 set-up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUNCTIONS_MAX 16

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void *read_btf(void)
{
	struct stat file_stat;
	int file = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	char *btf = NULL;
	ssize_t done = 0, bytes;

	if (file >= 0 && !fstat(file, &file_stat) && (btf = malloc(file_stat.st_size)))
		while (done < file_stat.st_size && (bytes = read(file, btf + done, file_stat.st_size - done)) > 0)
			done += bytes;
	if (!btf || done < (ssize_t)sizeof(struct btf_header)) {
		perror("bpf-tracer: /sys/kernel/btf/vmlinux");
		exit(4);
	}
	return btf;
}

/* Bytes behind a type's first three words. */
static size_t tail_bytes(const struct btf_type *type)
{
	const size_t members = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case 1: /* an integer */ case 14: /* a variable */ case 17: /* a tag of a declaration */ return 4;
	case 3: /* an array */ return 12;
	case 4: case 5: /* structures, unions */ case 15: /* a section */ case 19: /* 64-bit enumerations */ return 12 * members;
	case 6: /* enumerations */ case 13: /* prototypes */ return 8 * members;
	default: return 0;
	}
}

/* The number of a function in the kernel's BTF, or 0. */
static uint32_t find_function(const char *btf, const char *name)
{
	const struct btf_header *header = (const void *)btf;
	const char *at = btf + header->hdr_len + header->type_off, *end = at + header->type_len;
	const char *strings = btf + header->hdr_len + header->str_off;
	uint32_t number = 1;

	while (at < end) {
		const struct btf_type *type = (const void *)at;

		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(strings + type->name_off, name))
			return number;
		at += sizeof(*type) + tail_bytes(type);
		number++;
	}
	return 0;
}

/* A program that adds one to a cell of a map, attached; or -1. */
static int count_in(int map, uint32_t cell, enum bpf_attach_type where, uint32_t function)
{
	static char log[65536];
	const struct bpf_insn program[] = {
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = (int)cell },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4 },
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map },
		{ .code = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 2 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = 1 },
		{ .code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .imm = BPF_ADD },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_TRACING };
	int loaded, link;

	attr.insns = (uintptr_t)program;
	attr.insn_cnt = sizeof(program) / sizeof(program[0]);
	attr.license = (uintptr_t)"GPL";
	attr.expected_attach_type = where;
	attr.attach_btf_id = function;
	loaded = bpf(BPF_PROG_LOAD, &attr);
	if (loaded < 0) {
		fprintf(stderr, "bpf-tracer: the kernel does not take the program: %s\n", strerror(errno));
		attr.log_buf = (uintptr_t)log;
		attr.log_size = sizeof(log);
		attr.log_level = 1;
		bpf(BPF_PROG_LOAD, &attr);
		fputs(log, stderr);
		return -1;
	}
	memset(&attr, 0, sizeof(attr));
	attr.raw_tracepoint.prog_fd = (uint32_t)loaded;
	link = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
	if (link < 0)
		fprintf(stderr, "bpf-tracer: the program cannot be attached: %s\n", strerror(errno));
	return link;
}

static uint64_t cell(int map, uint32_t number)
{
	uint64_t value = 0;
	union bpf_attr attr = { .map_fd = (uint32_t)map };

	attr.key = (uintptr_t)&number;
	attr.value = (uintptr_t)&value;
	bpf(BPF_MAP_LOOKUP_ELEM, &attr);
	return value;
}

int main(int count, char **arguments)
{
	const int functions = count - 2;
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY };
	char *btf = read_btf();
	sigset_t signals;
	int map, i, received, both;

	if (functions < 1 || functions > FUNCTIONS_MAX)
		return 4;
	both = !strcmp(arguments[1], "both");
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	attr.key_size = 4;
	attr.value_size = 8;
	attr.max_entries = 2 * FUNCTIONS_MAX;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0) {
		perror("bpf-tracer: map");
		return 4;
	}
	for (i = 0; i < functions; i++) {
		const uint32_t function = find_function(btf, arguments[2 + i]);

		if (!function) {
			fprintf(stderr, "bpf-tracer: the kernel's BTF has no function %s\n", arguments[2 + i]);
			return 4;
		}
		if (count_in(map, 2U * i, BPF_TRACE_FENTRY, function) < 0 ||
		    (both && count_in(map, 2U * i + 1, BPF_TRACE_FEXIT, function) < 0)) {
			fprintf(stderr, "bpf-tracer: %s\n", arguments[2 + i]);
			return 1;
		}
	}
	puts("attached");
	fflush(stdout);
	sigwait(&signals, &received);
	for (i = 0; i < functions; i++) {
		printf("%s entered %llu", arguments[2 + i], (unsigned long long)cell(map, 2U * i));
		if (both)
			printf(" left %llu", (unsigned long long)cell(map, 2U * i + 1));
		putchar('\n');
	}
	free(btf);
	return 0;
}

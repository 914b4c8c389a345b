// SPDX-License-Identifier: GPL-2.0
/*
 * special-file.c - makes files of the kinds that tmem leaves alone, for scripts/guest/check-refusals.
 *
 *   special-file encrypt DIRECTORY   what is made in it is encrypted; it must be empty. The key is added first
 *   special-file verity FILE         the file is sealed: each block is verified against a tree of hashes when it is read
 *   special-file is-dax FILE         whether its memory is mapped in place, without the page cache
 *   special-file compare FILE        whether what a read gives is what a direct read gives
 *
 * Exit: 0 done, or yes; 1 no, or the kernel refused; 4 bad usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_or_say(const char *path, int flags)
{
	int file = open(path, flags | O_CLOEXEC);

	if (file < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return file;
}

static int failed(const char *step)
{
	fprintf(stderr, "%s: %s\n", step, strerror(errno));
	return 1;
}

static int encrypt(const char *path)
{
	enum { KEY_BYTES = 64 };
	struct fscrypt_policy_v2 policy = {
		.version = FSCRYPT_POLICY_V2,
		.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
		.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
		.flags = FSCRYPT_POLICY_FLAGS_PAD_32,
	};
	struct fscrypt_add_key_arg *add = calloc(1, sizeof(*add) + KEY_BYTES);
	int directory = open_or_say(path, O_RDONLY | O_DIRECTORY);

	if (!add || directory < 0)
		return 1;
	add->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
	add->raw_size = KEY_BYTES;
	for (int i = 0; i < KEY_BYTES; i++)
		add->raw[i] = (unsigned char)(i * 7 + 1);
	if (ioctl(directory, FS_IOC_ADD_ENCRYPTION_KEY, add))
		return failed("FS_IOC_ADD_ENCRYPTION_KEY");
	memcpy(policy.master_key_identifier, add->key_spec.u.identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
	if (ioctl(directory, FS_IOC_SET_ENCRYPTION_POLICY, &policy))
		return failed("FS_IOC_SET_ENCRYPTION_POLICY");
	free(add);
	return close(directory);
}

static int verity(const char *path)
{
	struct fsverity_enable_arg enable = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = 4096,
	};
	int file = open_or_say(path, O_RDONLY);

	if (file < 0)
		return 1;
	if (ioctl(file, FS_IOC_ENABLE_VERITY, &enable))
		return failed("FS_IOC_ENABLE_VERITY");
	return close(file);
}

static int is_dax(const char *path)
{
	struct statx status;

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &status))
		return failed(path);
	return !(status.stx_attributes & STATX_ATTR_DAX);
}

static int compare(const char *path)
{
	enum { CHUNK = 1 << 20 };
	static char read_bytes[CHUNK] __attribute__((aligned(4096)));
	static char direct_bytes[CHUNK] __attribute__((aligned(4096)));
	int file = open_or_say(path, O_RDONLY);
	int direct = open_or_say(path, O_RDONLY | O_DIRECT);
	off_t offset = 0;

	if (file < 0 || direct < 0)
		return 1;
	for (;;) {
		ssize_t bytes = pread(direct, direct_bytes, CHUNK, offset);

		if (bytes < 0)
			return failed("direct read");
		if (!bytes)
			break;
		if (pread(file, read_bytes, bytes, offset) != bytes)
			return failed("read");
		for (ssize_t i = 0; i < bytes; i++) {
			if (read_bytes[i] == direct_bytes[i])
				continue;
			printf("at %lld a read gives %02x, the disk has %02x\n", (long long)(offset + i),
			       (unsigned char)read_bytes[i], (unsigned char)direct_bytes[i]);
			return 1;
		}
		offset += bytes;
	}
	printf("%lld bytes are the same\n", (long long)offset);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *path);
	} commands[] = {
		{ "encrypt", encrypt }, { "verity", verity }, { "is-dax", is_dax }, { "compare", compare },
	};

	for (size_t i = 0; argc == 3 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argv[2]);
	fprintf(stderr, "usage: special-file encrypt|verity|is-dax|compare PATH\n");
	return 4;
}

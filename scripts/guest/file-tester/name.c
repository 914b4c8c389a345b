// SPDX-License-Identifier: GPL-2.0
/* Names and inodes: open anew, remove and make anew (the inode's number is used again), rename over. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "pattern.h"
#include "tester.h"

/* The file is another inode now, with @length bytes of version 1, or empty. */
static void start_anew(struct file *file, uint32_t serial, uint32_t version, const unsigned char *data, size_t length)
{
	file->serial = serial;
	file->version = version;
	model_resize(file, 0);
	if (length)
		memcpy(file->bytes, data, length);
	file->size = length;
}

void name_reopen(struct thread *thread, struct file *file)
{
	(void)thread;
	pthread_rwlock_wrlock(&file->handles);
	file_close(file);
	file_open(file, 0);
	pthread_rwlock_unlock(&file->handles);
}

void name_recreate(struct thread *thread, struct file *file)
{
	struct stat before, after;

	record_begin(file, "recreate", 0, TO_THE_END, 0);
	pthread_rwlock_wrlock(&file->handles);
	if (fstat(file->buffered, &before))
		unexpected(file, "fstat");
	file_close(file);
	if (unlink(file->path))
		unexpected(file, "unlink");
	file_open(file, O_CREAT | O_EXCL);
	if (fstat(file->buffered, &after))
		unexpected(file, "fstat");
	pthread_rwlock_unlock(&file->handles);
	thread->inode_reused += before.st_ino == after.st_ino;
	record_lock(file);
	start_anew(file, serial_new(), 0, NULL, 0);
	record_commit(file);
}

void name_rename_over(struct thread *thread, struct file *file)
{
	size_t length = random_below(&thread->random, smaller(LENGTH_MAX, options.file_size));
	uint32_t serial = serial_new();
	char path[1200];
	ssize_t written;
	int other;

	snprintf(path, sizeof(path), "%s.new", file->path);
	other = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (other < 0) {
		if (errno == ENOSPC) {
			thread->no_space++;
			return;
		}
		unexpected(file, "open %s", path);
	}
	pattern_fill(thread->data, serial, 1, 0, length);
	written = write(other, thread->data, length);
	if (written < 0 && errno != ENOSPC)
		unexpected(file, "write of %zu bytes to %s", length, path);
	close(other);
	record_begin(file, "rename-over", 0, TO_THE_END, 0);
	pthread_rwlock_wrlock(&file->handles);
	if (rename(path, file->path)) {
		if (errno != ENOSPC)
			unexpected(file, "rename");
		thread->no_space++;
		pthread_rwlock_unlock(&file->handles);
		record_lock(file);
		record_commit(file);
		return;
	}
	file_close(file);
	file_open(file, 0);
	pthread_rwlock_unlock(&file->handles);
	record_lock(file);
	start_anew(file, serial, 0, thread->data, written > 0 ? (size_t)written : 0);
	version_new(file);
	record_commit(file);
}

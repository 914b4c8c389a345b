// SPDX-License-Identifier: GPL-2.0
/*
 * sysfs.c - /sys/kernel/mm/tmem: one value per file.
 *
 * The files are the lists of core/abi.h, glue.h and swap_area.h, nothing else: a
 * tunable (0644), or what is counted, summed over all pools (0444). So a new
 * entry there is a new file here. A file computes its value and no other.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/stddef.h>
#include <linux/sysfs.h>

#include "glue.h"
#include "swap_area.h"

struct value_file {
	struct kobj_attribute attribute;
	unsigned int value;	/* TMEM_VALUE_* */
};

struct swap_file {
	struct kobj_attribute attribute;
	size_t offset;		/* of the value, in struct tmem_swap_counts */
};

struct tunable_file {
	struct kobj_attribute attribute;
	unsigned int tunable;
};

static struct tmem_host *shown_host;
static struct kobject *directory;

static ssize_t value_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const struct value_file *file = container_of(attribute, struct value_file, attribute);

	return sprintf(text, "%llu\n", tmem_host_value(shown_host, file->value));
}

static ssize_t swap_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const struct swap_file *file = container_of(attribute, struct swap_file, attribute);
	struct tmem_swap_counts swap;

	tmem_swap_counts_sum(&swap);
	return sprintf(text, "%llu\n", *(unsigned long long *)((char *)&swap + file->offset));
}

static ssize_t tunable_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const struct tunable_file *file = container_of(attribute, struct tunable_file, attribute);

	return sprintf(text, "%llu\n", tmem_kernel_tunable_get(file->tunable));
}

static ssize_t tunable_store(struct kobject *kobject, struct kobj_attribute *attribute,
			     const char *text, size_t bytes)
{
	const struct tunable_file *file = container_of(attribute, struct tunable_file, attribute);
	unsigned long long value;
	int error = tmem_tunable_parse(file->tunable, text, &value);

	if (!error)
		error = tmem_kernel_tunable_set(file->tunable, value);
	return error ? error : bytes;
}

#define TUNABLE_FILE(NAME, name, min, max, initial, meaning)                                       \
	{ __ATTR(name, 0644, tunable_show, tunable_store), TMEM_TUNABLE_##NAME },
static struct tunable_file tunable_files[] = { TMEM_EVERY_TUNABLE(TUNABLE_FILE) };

#define VALUE_FILE(name, meaning)                                                                  \
	{ __ATTR(name, 0444, value_show, NULL), TMEM_VALUE_##name },
static struct value_file value_files[] = { TMEM_VALUES(VALUE_FILE) };

#define SWAP_FILE(name, meaning)                                                                   \
	{ __ATTR(name, 0444, swap_show, NULL), offsetof(struct tmem_swap_counts, name) },
static struct swap_file swap_files[] = { TMEM_SWAP_COUNTS(SWAP_FILE) };

/*
 * /sys/kernel/mm, with a reference, or NULL: newer kernels do not export
 * mm_kobj, but /sys/kernel's kobject they do, and a sysfs directory's node
 * leads to its kobject.
 */
static struct kobject *mm_directory(void)
{
	struct kernfs_node *node = kernfs_find_and_get(kernel_kobj->sd, "mm");
	struct kobject *kobject = NULL;

	if (!node)
		return NULL;
	if (kernfs_type(node) == KERNFS_DIR)
		kobject = kobject_get(node->priv);
	kernfs_put(node);
	return kobject;
}

/**
 * tmem_sysfs_start - make the directory
 * @host: must outlive it
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value, and then nothing is left.
 */
int tmem_sysfs_start(struct tmem_host *host)
{
	struct kobject *parent = mm_directory();
	unsigned int i;
	int error = 0;

	if (!parent)
		return -ENOENT;
	shown_host = host;
	directory = kobject_create_and_add("tmem", parent);
	kobject_put(parent);
	if (!directory)
		return -ENOMEM;
	for (i = 0; !error && i < ARRAY_SIZE(tunable_files); i++)
		error = sysfs_create_file(directory, &tunable_files[i].attribute.attr);
	for (i = 0; !error && i < ARRAY_SIZE(value_files); i++)
		error = sysfs_create_file(directory, &value_files[i].attribute.attr);
	for (i = 0; !error && i < ARRAY_SIZE(swap_files); i++)
		error = sysfs_create_file(directory, &swap_files[i].attribute.attr);
	if (error)
		tmem_sysfs_stop();
	return error;
}

/**
 * tmem_sysfs_stop - remove the directory with its files
 *
 * Context: Process context. Sleeps until no file of it is being read or written.
 */
void tmem_sysfs_stop(void)
{
	kobject_put(directory);
}

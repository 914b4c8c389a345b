// SPDX-License-Identifier: GPL-2.0
/* The module: what it counts, and, for the test of what was before it, taken away and put back. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/wait.h>

#include "subject.h"

const char *module_path, *module_words;

size_t event_count(const char *name)
{
	FILE *events = fopen("/sys/kernel/debug/tmem/page_cache", "re");
	char line[256], found[128];
	size_t count = SIZE_MAX, number;

	while (events && fgets(line, sizeof(line), events))
		if (sscanf(line, "%127s %zu", found, &number) == 2 && !strcmp(found, name))
			count = number;
	if (events)
		fclose(events);
	return count;
}

/* A stock kernel's module counts what it redirects; 5.10's own hooks say nothing, and see less. */
bool has_native_hooks(void)
{
	return !access("/sys/kernel/mm/tmem", F_OK) && event_count("folios_put") == SIZE_MAX;
}

verdict module_remove(void)
{
	if (!module_path || access("/sys/module/tmem", F_OK))
		return because("skip: no module to load anew");
	return syscall(SYS_delete_module, "tmem", 0) ? because("skip: cannot be unloaded: %s", strerror(errno)) : NULL;
}

verdict module_insert(void)
{
	int file = open(module_path, O_RDONLY | O_CLOEXEC);
	bool done = file >= 0 && !syscall(SYS_finit_module, file, module_words ? module_words : "", 0);

	close(file);
	return done ? NULL : because("cannot load %s: %s", module_path, strerror(errno));
}

verdict in_child(verdict (*run)(const char *argument), const char *argument)
{
	static char text[400];
	int ends[2], status;
	ssize_t got;
	pid_t child;

	if (pipe(ends) || (child = fork()) < 0)
		return because("fork: %s", strerror(errno));
	if (!child) {
		verdict result = run(argument);

		if (result && write(ends[1], result, strlen(result)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	got = read(ends[0], text, sizeof(text) - 1);
	close(ends[0]);
	waitpid(child, &status, 0);
	text[got > 0 ? got : 0] = 0;
	return got > 0 ? text : status ? because("a process died") : NULL;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SPEAKERS_FILES_H
#define SPEAKERS_FILES_H

// Small files of a speaker's directory. Path pieces are joined as DIRECTORY/NAME.

int files_make_directory(const char *path);                                 // and its parents; 0750
int files_write(const char *directory, const char *name, const char *text); // 0640, not atomic
char *files_read(const char *directory, const char *name); // malloc'ed, NULL = none
int files_rename(const char *directory, const char *from, const char *to);
void files_remove(const char *directory, const char *name);
void files_remove_all(
	const char *directory); // what a speaker's directory may hold, and the directory

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DATAPLANE_LOG_H
#define DATAPLANE_LOG_H

// One line on stderr: level=LEVEL msg="..." key=value ... Main thread and start-up only; workers
// never log.
void log_line(const char *level, const char *message, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_info(message, ...)  log_line("info", message, __VA_ARGS__)
#define log_warn(message, ...)  log_line("warning", message, __VA_ARGS__)
#define log_error(message, ...) log_line("error", message, __VA_ARGS__)

#endif

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/signals.h"

#include <signal.h>

void signals_ignore(void)
{
	static const int number[] = {SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
		SIGIO, SIGPWR, SIGSTKFLT, SIGTSTP, SIGTTIN, SIGTTOU, SIGXCPU, SIGXFSZ, SIGTRAP};

	for (unsigned int i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		signal(number[i], SIG_IGN);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		signal(i, SIG_IGN);
}

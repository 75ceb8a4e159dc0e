"""The run: what every command shares, from its arguments to its reports.

- `arguments`: the arguments that all commands share, and the readers of their values
- `clock`: the time and the waiting, replaceable in tests
- `command`: a command as a value, and the process in which it runs
- `ending`: the last two lines of a command: the verdict, and the next command
- `failures`: why objects failed, grouped, and the next step that fits
- `google_apis`: Google's REST APIs of logs and metrics, one answer at a time
- `key_ranges`: which task copies which names, and in which order; pure
- `late_console`: the operator's console; imports `rich` for tables and bars only
- `late_gateway`: both clients; the official one opens at the first call that needs it
- `local_tasks`: the tasks of an execution as processes of this machine
- `logs`: sends log lines to the screen, to Cloud Logging and to the log file
- `open_run`: opens a run
- `operator_values`: what operators repeat, from ``deploy/ENV.env``
- `overlaps`: refuses to touch objects that another migration is about, too
- `phase_change`: changes the phase, and waits until every mirror has seen it
- `questions`: asks the operator on a terminal
- `reports`: reports as files or as objects
- `run`: the run as a value
- `settings`: the process's environment as a value
- `since`: narrows a sweep to recent days
- `stopping`: turns Ctrl-C and SIGTERM into a stop
- `tasks`: cuts the key space into ranges on which all tasks agree
- `workers`: several asynchronous workers on one stream of items
"""

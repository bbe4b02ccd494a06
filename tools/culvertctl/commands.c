// SPDX-License-Identifier: BSD-3-Clause

// The table of commands. A new command is a row here and, if no existing function prints what it
// answers, a function. Parsing, help, completion and culvertctl(8) follow by themselves.

#include "tools/culvertctl/command.h"

#include "control/api/methods.h"
#include "tools/culvertctl/table.h"

// clang-format off
#define TEXT(flag, placeholder)   .name = flag, .type = FLAG_TEXT, .value = placeholder
#define NUMBER(flag, placeholder) .name = flag, .type = FLAG_NUMBER, .value = placeholder
#define MANY(flag, placeholder)   .name = flag, .type = FLAG_MANY, .value = placeholder
#define SWITCH(flag)              .name = flag, .type = FLAG_SWITCH

const struct flag global_flags[] = {
	{TEXT("socket", "PATH"), .help = "control socket; -s PATH, or $CULVERT_SOCKET", .complete = "file"},
	{SWITCH("json"), .help = "print the answer as JSON, with exact integers; -j"},
	{SWITCH("exact"), .help = "tables with exact integers instead of k, M, G"},
	{SWITCH("no-header"), .help = "tables of rows alone: no titles, no summary"},
	{TEXT("color", "WHEN"), .help = "auto (default), always, never; NO_COLOR is honoured",
		.complete = "auto|always|never"},
	{TEXT("timeout", "SECONDS"), .help = "give up when nothing comes for so long; 30 when not given"},
	{SWITCH("help"), .help = "about culvertctl, a noun or a command; -h"},
	{SWITCH("version"), .help = "version of culvertctl; -V"},
	{0},
};

#define WRITE_FLAGS \
	{NUMBER("if-revision", "N"), .help = "refuse unless the model is at this revision", .param = "if_revision"}, \
	{SWITCH("check"), .help = "tell what would change, change nothing"}, \
	{SWITCH("delete"), .help = "it is meant that more than 16 objects and a tenth of all go"}, \
	{TEXT("confirm", "DURATION"), .help = "goes back by itself unless config confirm comes so soon, as 30s or 10m"}, \
	{SWITCH("yes"), .help = "do not ask about what cannot be taken back", .local = true}, EDGES
#define EDGES \
	{SWITCH("all-edges"), .help = "on all edges of the node file's peers, or on none; so without it where it has any", \
		.local = true}, \
	{SWITCH("one-edge"), .help = "only on this edge, whatever peers it has", .local = true}

#define PARTS \
	{MANY("link", "ROLE:EDGE/PORT[:TAG[.TAG]]"), .local = true, \
		.help = "with this link, as primary:ams1/wan0:100; repeat for the other"}, \
	{MANY("peering", "TYPE,FIELD=VALUE,..."), .local = true, \
		.help = "with this peering, as private,primary-subnet=169.254.10.0/30,peer-asn=65001,local-asn=64900"}, \
	{MANY("connect", "VNET[,weight=N]"), .complete = "vnet", .local = true, \
		.help = "connected to this vNet; repeat for several"}

#define SELECTOR \
	{TEXT("circuit", "NAME"), .help = "only of this circuit", .complete = "circuit"}, \
	{TEXT("peering", "NAME"), .help = "only of this peering, as acme-ams-01/private", .complete = "peering"}, \
	{TEXT("vnet", "NAME"), .help = "only of this vNet", .complete = "vnet"}, \
	{TEXT("domain", "DOMAIN"), .help = "only this routing domain, as peering/acme-ams-01/private or underlay"}

#define SINCE \
	{TEXT("since", "TIME"), .help = "nothing older than 30m, 2h, 7d, or a date as 2026-11-28T10:00", .local = true}
#define OBJECT \
	{TEXT("object", "NAME"), .help = "only of this object and its parts, or as \"circuit acme-ams-01\""}

// list and show differ from noun to noun, the writing verbs do not. CHANGE_COMMANDS is for nouns
// with a create and an ensure of their own.
#define WRITE_COMMANDS(noun_name) \
	{.noun = noun_name, .verb = "create", .method = noun_name ".create", .argument = "NAME", .param = "name", \
		.help = "make a new " noun_name, .fields = FIELDS_CREATE, .run = run_write, \
		.flags = {WRITE_FLAGS}}, \
	{.noun = noun_name, .verb = "ensure", .method = noun_name ".ensure", .argument = "NAME", .param = "name", \
		.complete = noun_name, .help = "make a new " noun_name ", or change fields of the one there is", \
		.fields = FIELDS_ENSURE, .run = run_write, .flags = {WRITE_FLAGS}}, \
	CHANGE_COMMANDS(noun_name)

#define CHANGE_COMMANDS(noun_name) \
	{.noun = noun_name, .verb = "set", .method = noun_name ".set", .argument = "NAME", .param = "name", \
		.complete = noun_name, .help = "change fields of one " noun_name, .fields = FIELDS_SET, \
		.run = run_write, .flags = {WRITE_FLAGS, {TEXT("unset", "FIELD"), .help = \
			"back to the field's default", .complete = "fields"}}}, \
	{.noun = noun_name, .verb = "delete", .method = noun_name ".delete", .argument = "NAME", .param = "name", \
		.complete = noun_name, .help = "delete one " noun_name, .run = run_write, .flags = {WRITE_FLAGS}}, \
	{.noun = noun_name, .verb = "rename", .method = noun_name ".rename", .argument = "NAME NEW", .param = "name", \
		.second = "to", .complete = noun_name, .help = "give one " noun_name " another name, traffic goes on", \
		.run = run_write, .flags = {WRITE_FLAGS}}

#define SHOW_COMMAND(noun_name) \
	{.noun = noun_name, .verb = "show", .method = noun_name ".show", .argument = "NAME", .param = "name", \
		.complete = noun_name, .help = "one " noun_name " as configured", .run = run_show}

#define BY(noun_name) \
	{TEXT(noun_name, "NAME"), .help = "only of this " noun_name, .complete = noun_name, .param = "filter." noun_name}

#define LIST(noun_name, titles, ...) \
	{.noun = noun_name, .verb = "list", .method = noun_name ".list", .help = "all " noun_name "s", \
		.run = run_list, .columns = titles, .flags = {__VA_ARGS__}}

static const struct column edge_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"ROUTES", "routes", SHOW_TEXT}, {0}};
static const struct column cross_columns[] = {
	{"KEY", "key", SHOW_TEXT}, {"BW", "bandwidth", SHOW_NUMBER}, {"LOCATION", "location", SHOW_TEXT},
	{"PRIMARY", "primary_text", SHOW_TEXT}, {"SECONDARY", "secondary_text", SHOW_TEXT}, {"STATE", "state", SHOW_TEXT}, {0}};
static const struct column location_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"AREA", "area", SHOW_TEXT}, {"REALM", "realm", SHOW_TEXT},
	{"REGIONS", "regions", SHOW_TEXT}, {"EDGES", "edges", SHOW_TEXT}, {"PROVIDERS", "providers", SHOW_TEXT},
	{"SIZES", "sizes", SHOW_TEXT}, {"MODELS", "models", SHOW_TEXT}, {0}};
static const struct column provider_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"MODELS", "models", SHOW_TEXT}, {"BANDWIDTHS", "bandwidths", SHOW_TEXT},
	{"LOCATIONS", "locations", SHOW_TEXT}, {"ALLOW-LOWER", "allow-lower", SHOW_TEXT}, {0}};
static const struct column customer_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"ORGANISATION", "organisation", SHOW_TEXT}, {"DESCRIPTION", "description", SHOW_TEXT}, {0}};
static const struct column link_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"EDGE", "edge", SHOW_TEXT}, {"PORT", "port", SHOW_TEXT},
	{"OUTER-TAG", "outer-tag", SHOW_TEXT}, {"INNER-TAG", "inner-tag", SHOW_TEXT}, {"MTU", "mtu", SHOW_TEXT},
	{"ADMIN", "admin", SHOW_STATE}, {0}};
static const struct column peering_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"PRIMARY", "primary-subnet subnet primary-subnet-v6 subnet-v6", SHOW_TEXT},
	{"SECONDARY", "secondary-subnet subnet secondary-subnet-v6 subnet-v6", SHOW_TEXT}, {"PEER-ASN", "peer-asn", SHOW_TEXT},
	{"LOCAL-ASN", "local-asn", SHOW_TEXT}, {"C-TAG", "c-tag", SHOW_TEXT}, {"ENABLED", "enabled", SHOW_TEXT}, {0}};
static const struct column session_columns[] = {
	{"PEERING", "peering", SHOW_TEXT}, {"LINK", "link", SHOW_TEXT}, {"SESSION", "session", SHOW_STATE},
	{"SINCE", "since", SHOW_AGE}, {"REMOTE", "remote", SHOW_TEXT}, {"ASN", "remote_asn", SHOW_TEXT},
	{"ACCEPTED", "accepted", SHOW_NUMBER}, {"REJECTED", "rejected", SHOW_NUMBER}, {"HELD", "held", SHOW_NUMBER},
	{"ADVERTISED", "advertised", SHOW_NUMBER}, {"LIMIT", "limit", SHOW_NUMBER}, {"DETAIL", "detail", SHOW_TEXT},
	{0}};
static const struct column vnet_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"CUSTOMER", "customer", SHOW_TEXT}, {"PREFIXES", "prefixes", SHOW_TEXT}, {0}};
static const struct column connection_columns[] = {
	{"NAME", "full_name", SHOW_TEXT}, {"CIRCUIT", "circuit", SHOW_TEXT}, {"PEERING", "peering", SHOW_TEXT},
	{"VNET", "vnet", SHOW_TEXT}, {"WEIGHT", "weight", SHOW_TEXT}, {0}};
static const struct column route_columns[] = {
	{"DOMAIN", "domain", SHOW_TEXT}, {"PREFIX", "prefix", SHOW_TEXT}, {"STATE", "state", SHOW_STATE},
	{"ORIGIN", "origin", SHOW_TEXT}, {"FROM", "from", SHOW_TEXT}, {"RULE", "rule", SHOW_TEXT},
	{"OBJECT", "object", SHOW_TEXT}, {"NEXT HOPS", "nexthops", SHOW_PATHS}, {0}};
static const struct column summary_columns[] = {
	{"DOMAIN", "domain", SHOW_TEXT}, {"LEARNED", "learned", SHOW_NUMBER}, {"ACCEPTED", "accepted", SHOW_NUMBER},
	{"REJECTED", "rejected", SHOW_NUMBER}, {"HELD", "held", SHOW_NUMBER}, {"INSTALLED", "installed", SHOW_NUMBER},
	{"ADVERTISED", "advertised", SHOW_NUMBER}, {"LIMIT", "limit", SHOW_NUMBER}, {"BYTES", "bytes", SHOW_NUMBER}, {0}};
static const struct column neighbor_columns[] = {
	{"DOMAIN", "domain", SHOW_TEXT}, {"INTERFACE", "interface", SHOW_TEXT}, {"ADDRESS", "address", SHOW_TEXT},
	{"MAC", "mac", SHOW_TEXT}, {"STATE", "state", SHOW_STATE}, {"SINCE", "since", SHOW_AGE}, {0}};
static const struct column audit_columns[] = {
	{"ID", "id", SHOW_TEXT}, {"TIME", "time", SHOW_TIME}, {"ACTOR", "actor", SHOW_TEXT},
	{"FOR", "on_behalf", SHOW_TEXT}, {"VERB", "verb", SHOW_TEXT}, {"OBJECT", "object", SHOW_TEXT},
	{"RESULT", "result", SHOW_TEXT}, {"REVISION", "revision", SHOW_TEXT}, {"CHANGE", "text", SHOW_TEXT}, {0}};
static const struct column deleted_columns[] = {
	{"OBJECT", "object", SHOW_TEXT}, {"DELETED", "deleted", SHOW_TIME}, {"COUNTED", "text", SHOW_TEXT}, {0}};
static const struct column history_columns[] = {
	{"REVISION", "revision", SHOW_TEXT}, {"TIME", "time", SHOW_TIME}, {"ACTOR", "actor", SHOW_TEXT},
	{"VERB", "verb", SHOW_TEXT}, {"OBJECTS", "text", SHOW_TEXT}, {"NOTE", "note", SHOW_TEXT}, {0}};

// Nouns without rows of their own below have theirs from the schema, columns included
// (tools/devtools/print-fields).
#include "noun-commands.inc"

const struct command commands[] = {
	{.noun = "status", .method = API_STATUS, .help = "this edge at a glance: data plane, sessions, problems",
		.run = run_status, .flags = {
			{SWITCH("monitoring"), .local = true, .help = \
				"one line, and exit status 0 ok, 1 warning, 2 critical, 3 unknown"}}},

	{.noun = "circuit", .verb = "list", .help = "all circuits with state, load and routes of each link",
		.run = run_circuit_list, .flags = {
			{TEXT("customer", "NAME"), .help = "only of this customer", .complete = "customer"},
			{TEXT("provider", "NAME"), .help = "only of this provider", .complete = "provider"},
			{TEXT("location", "NAME"), .help = "only at this location", .complete = "location"}}},
	{.noun = "circuit", .verb = "status", .argument = "[NAME]", .param = "circuit", .complete = "circuit",
		.help = "the same for one circuit", .run = run_circuit_list},
	{.noun = "circuit", .verb = "show", .method = "circuit.show", .argument = "NAME", .param = "name",
		.complete = "circuit", .help = "one circuit: contract, links, sessions", .run = run_circuit_show},
	{.noun = "circuit", .verb = "check", .method = "circuit.show", .argument = "NAME", .param = "name",
		.complete = "circuit", .help = "the same, with what is missing and who has to do it; exit status 1 unless it and its tunnels are up", .run = run_circuit_show},
	{.noun = "circuit", .verb = "stats", .method = API_CIRCUIT_STATS, .argument = "NAME", .param = "circuit",
		.complete = "circuit", .help = "what a circuit carried by class, its limiters, peaks and drops",
		.run = run_circuit_stats, .flags = {
			{TEXT("link", "ROLE"), .help = "only this link", .complete = "primary|secondary"}}},
	{.noun = "circuit", .verb = "create", .method = "circuit.create", .argument = "NAME", .param = "name",
		.help = "make a new circuit, with its links, peerings and connections in one revision",
		.fields = FIELDS_CREATE, .run = run_circuit, .flags = {WRITE_FLAGS, PARTS}},
	{.noun = "circuit", .verb = "ensure", .method = "circuit.ensure", .argument = "NAME", .param = "name",
		.complete = "circuit", .help = "the same, or change fields of those that are there",
		.fields = FIELDS_ENSURE, .run = run_circuit, .flags = {WRITE_FLAGS, PARTS}},
	CHANGE_COMMANDS("circuit"),
	{.noun = "circuit", .verb = "recreate", .method = "circuit.recreate", .argument = "NAME", .param = "name",
		.complete = "circuit", .help = "make a successor beside it, as at a lower bandwidth: new key, tags, subnets",
		.fields = FIELDS_SET, .run = run_recreate, .flags = {WRITE_FLAGS,
			{TEXT("name", "NEW"), .help = "its name; NAME-r2 when not given. One that is there gets what it lacks",
				.param = "to"},
			{MANY("link", "ROLE:EDGE/PORT[:TAG[.TAG]]"), .local = true, .help = "its link there, not beside the old one"},
			{MANY("peering", "TYPE,FIELD=VALUE,..."), .local = true,
				.help = "its peering with these, as private,primary-subnet=169.254.20.0/30"}}},
	{.noun = "circuit", .verb = "replace", .method = "circuit.replace", .argument = "NAME NEW", .param = "name",
		.second = "to", .complete = "circuit", .help = "move its connections to NEW in one revision, and end it",
		.run = run_write, .flags = {WRITE_FLAGS}},
	{.noun = "circuit", .verb = "wait", .argument = "NAME", .complete = "circuit",
		.help = "until it is in a state; --timeout says how long at most", .run = run_circuit_wait, .flags = {
			{TEXT("state", "STATE"), .local = true, .help = "provisioned when not given", .complete =
				"not-provisioned|provisioning|provisioned|deprovisioning|enabled|disabled|up|degraded|partial|down"}}},

	{.noun = "cross-connection", .verb = "list", .method = API_CROSS_LIST,
		.help = "circuits as their providers see them", .run = run_list, .columns = cross_columns, .flags = {
			{TEXT("provider", "NAME"), .help = "only of this provider", .complete = "provider"},
			{TEXT("location", "NAME"), .help = "only at this location", .complete = "location"}}},
	{.noun = "cross-connection", .verb = "show", .method = API_CROSS_SHOW, .argument = "KEY", .param = "key",
		.help = "one of them", .run = run_show},
	{.noun = "cross-connection", .verb = "provision", .method = API_CROSS_PROVISION, .argument = "KEY", .param = "key",
		.help = "the provider's line is there", .run = run_write, .flags = {
			{SWITCH("begin"), .help = "the provider is at it, not yet done"},
			{MANY("device", "ROLE=WORDS"), .help = "what a link is handed over on, as primary=pe1; repeat for the other"},
			{MANY("path", "ROLE=WORDS"), .help = "the path of its line, likewise"}, WRITE_FLAGS}},
	{.noun = "cross-connection", .verb = "deprovision", .method = API_CROSS_DEPROVISION, .argument = "KEY",
		.param = "key", .help = "the provider's line is gone", .run = run_write, .flags = {
			{SWITCH("begin"), .help = "it will be, not yet gone"}, WRITE_FLAGS}},

	{.noun = "location", .verb = "list", .method = "location.list",
		.help = "all locations, with who is there and what can be had", .run = run_location_list,
		.columns = location_columns, .flags = {BY("area")}},
	SHOW_COMMAND("location"),
	LIST("provider", provider_columns),
	{.noun = "provider", .verb = "show", .method = "provider.show", .argument = "NAME", .param = "name", .complete = "provider",
		.help = "one provider as configured, and the links that each of its devices hands over", .run = run_provider_show},
	WRITE_COMMANDS("provider"),
	WRITE_COMMANDS("location"),

	LIST("link", link_columns, BY("circuit"), BY("edge"), BY("customer")),
	SHOW_COMMAND("link"),
	WRITE_COMMANDS("link"),

	LIST("peering", peering_columns, BY("circuit"), BY("customer")),
	{.noun = "peering", .verb = "show", .method = "peering.show", .argument = "NAME", .param = "name",
		.complete = "peering", .help = "one peering as configured, and its BGP sessions on this edge", .run = run_peering_show},
	{.noun = "peering", .verb = "status", .method = API_PEERING_STATUS, .argument = "[NAME]", .param = "peering",
		.complete = "peering", .help = "BGP sessions of this edge and their routes", .run = run_list,
		.columns = session_columns, .flags = {
			{TEXT("circuit", "NAME"), .help = "only of this circuit", .complete = "circuit"}}},
	{.noun = "peering", .verb = "clear", .method = API_PEERING_CLEAR, .argument = "NAME", .param = "peering",
		.complete = "peering", .help = "close the BGP sessions on this edge and let them come up again", .run = run_clear,
		.flags = {{SWITCH("soft"), .help = "keep the sessions, ask for the routes again"}}},
	WRITE_COMMANDS("peering"),

	LIST("vnet", vnet_columns, BY("customer")),
	SHOW_COMMAND("vnet"),
	WRITE_COMMANDS("vnet"),

	LIST("connection", connection_columns, BY("circuit"), BY("vnet"), BY("customer")),
	SHOW_COMMAND("connection"),
	WRITE_COMMANDS("connection"),

	LIST("customer", customer_columns),
	SHOW_COMMAND("customer"),
	WRITE_COMMANDS("customer"),

	LIST("edge", edge_columns),
	SHOW_COMMAND("edge"),
	WRITE_COMMANDS("edge"),
	{.noun = "edge", .verb = "adopt", .method = API_EDGE_ADOPT,
		.help = "take over what this host holds of another store or edge, and remove what is not configured",
		.run = run_adopt, .flags = {{SWITCH("check"), .help = "only say what would be done"},
			{SWITCH("force"), .help = "even if the model does not have this edge, so that all goes"}}},

	{.noun = "port", .verb = "list", .method = "port.list", .help = "all ports, with the state of this edge's",
		.run = run_port_list, .flags = {BY("edge")}},
	{.noun = "port", .verb = "show", .method = "port.show", .argument = "NAME", .param = "name",
		.complete = "port", .help = "one port, as configured and as it is", .run = run_port_show},
	WRITE_COMMANDS("port"),

#define NOUN_ROWS
#include "noun-commands.inc"
#undef NOUN_ROWS

	{.noun = "route", .verb = "list", .method = API_ROUTE_LIST,
		.help = "routes: installed, accepted, held, rejected with the rule, advertised", .run = run_list,
		.columns = route_columns, .flags = {SELECTOR,
			{TEXT("state", "STATE"), .help = "only these",
				.complete = "installed|accepted|held|rejected|advertised"},
			{TEXT("prefix", "PREFIX"), .help = "only this prefix and what is inside it"}}},
	{.noun = "route", .verb = "get", .method = API_ROUTE_GET, .argument = "ADDRESS", .param = "address",
		.help = "where the data plane sends this address", .run = run_route_get, .flags = {SELECTOR}},
	{.noun = "route", .verb = "summary", .method = API_ROUTE_SUMMARY, .help = "how many routes in which state",
		.run = run_list, .columns = summary_columns, .flags = {SELECTOR}},

	{.noun = "neighbor", .verb = "list", .method = API_NEIGHBOR_LIST, .help = "next hops and their MAC addresses",
		.run = run_list, .columns = neighbor_columns, .flags = {SELECTOR}},

	{.noun = "drops", .method = API_DROPS, .help = "dropped packets by interface and reason", .run = run_drops,
		.flags = {
			{TEXT("circuit", "NAME"), .help = "only of this circuit", .complete = "circuit"},
			{TEXT("vnet", "NAME"), .help = "only of this vNet", .complete = "vnet"},
			{TEXT("port", "NAME"), .help = "only of this port of this edge", .complete = "port"}}},

	{.noun = "doctor", .method = API_DOCTOR, .run = run_doctor,
		.help = "what of this machine stands in the way, with the command that mends it; exit status 1 if anything"},

	{.noun = "rename", .argument = "NOUN", .complete = "nouns",
		.help = "as in rename circuit acme-ams-01 acme-ams-1: the same as circuit rename", .run = run_rename},
	{.noun = "batch", .argument = "FILE", .complete = "file",
		.help = "create, set, ensure, delete and rename, a command a line, in one revision; - is standard input",
		.run = run_batch, .flags = {WRITE_FLAGS}},

	{.noun = "config", .verb = "show", .method = API_CONFIG_SHOW, .help = "the whole model as YAML",
		.run = run_config_show},
	{.noun = "config", .verb = "check", .method = API_CONFIG_CHECK, .argument = "FILE", .complete = "file",
		.help = "validate a model file, change nothing", .run = run_config_file},
	{.noun = "config", .verb = "diff", .method = API_CONFIG_DIFF, .argument = "[FILE]", .complete = "file",
		.help = "what applying a model file would change, or going back to a revision; exit status 10 if anything",
		.run = run_config_file, .flags = {
			{NUMBER("revision", "N"), .help = "of the history, in place of a file"}}},
	{.noun = "config", .verb = "apply", .method = API_CONFIG_APPLY, .argument = "FILE", .complete = "file",
		.help = "make the model what the file says", .run = run_config_file, .flags = {WRITE_FLAGS}},
	{.noun = "config", .verb = "history", .method = API_CONFIG_HISTORY, .help = "revisions, newest first",
		.run = run_config_history, .columns = history_columns, .flags = {
			{NUMBER("limit", "N"), .help = "at most so many rows; 50 when not given"}}},
	{.noun = "config", .verb = "confirm", .method = API_CONFIG_CONFIRM, .argument = "[REVISION]",
		.help = "what was made with --confirm is final", .run = run_config_settle, .flags = {EDGES}},
	{.noun = "config", .verb = "rollback", .method = API_CONFIG_ROLLBACK, .argument = "[REVISION]",
		.help = "take back what waits for confirmation; if nothing does, make the model what it was at REVISION, or one before",
		.run = run_config_settle, .flags = {WRITE_FLAGS}},

	{.noun = "audit", .verb = "list", .method = API_AUDIT_LIST,
		.help = "who asked for what, and what it changed, newest first", .run = run_since, .columns = audit_columns,
		.flags = {SINCE, OBJECT,
			{TEXT("actor", "USER"), .help = "only of this user, by name or as uid:1000"},
			{NUMBER("limit", "N"), .help = "at most so many rows; 50 when not given"}}},
	{.noun = "counters", .verb = "deleted", .method = API_COUNTERS_DELETED,
		.help = "what objects that are deleted counted last on this edge, newest first", .run = run_since,
		.columns = deleted_columns, .flags = {SINCE, OBJECT,
			{NUMBER("limit", "N"), .help = "at most so many rows; 50 when not given"}}},

	{.noun = "backup", .argument = "FILE", .complete = "file",
		.help = "the store with its key and all passwords into FILE", .run = run_backup},
	{.noun = "restore", .argument = "FILE", .complete = "file",
		.help = "a backup into the place of the store, while culvertd does not run", .run = run_restore, .flags = {
			{TEXT("config", "NODEFILE"), .help = "this machine's file; /etc/culvert/node.yaml when not given",
				.complete = "file", .local = true},
			{SWITCH("replace"), .help = "also if there is a store; it is kept as NAME.replaced", .local = true}}},

	{.noun = "monitor", .method = API_SUBSCRIBE, .help = "events as they happen, until interrupted",
		.run = run_monitor, .flags = {
			{TEXT("topic", "TOPIC"), .help = "only this topic: model, pending, session, port or state",
				.complete = "model|pending|session|port|state", .local = true},
			{NUMBER("since", "SEQ"), .help = "repeat what is kept after this number"}}},
	{.noun = "version", .help = "versions of culvertctl and of the daemon", .run = run_version},
	{.noun = "completion", .argument = "SHELL", .complete = "bash|zsh",
		.help = "print the completion script for a shell", .run = run_completion},
	{.noun = "help", .argument = "[NOUN]", .complete = "nouns", .help = "what culvertctl can do", .run = run_help},
	{0},
};
// clang-format on

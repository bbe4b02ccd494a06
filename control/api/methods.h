/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef API_METHODS_H
#define API_METHODS_H

// The control socket's methods: names, parameters, results. This page is the agreement between culvertd's
// two answering threads (control/rpc on the main thread, control/sync on the route thread) and every client.
//
// Transport: JSON-RPC 2.0 over a unix stream socket, one object per line, no batches, `id` required.
// `params` is an object; a parameter that the method does not name is an error. An error carries
//   "error": {"code": -32001, "message": "no circuit named \"acme\"",
//             "data": {"code": "not-found", "hint": "culvertctl circuit list", "errors": [...]}}
// with `errors` only when a validation found more than one thing, or knows where it is:
//   [{"path": "circuit/acme-ams-01/bandwidth", "rule": "...", "message": "...", "hint": "...",
//     "line": 4, "column": 5, "text": "    bandwith: 1gbps",      (line.. only for a file)
//     "change": 3}]                                             (which of model.change's, from 1)
//
// Conventions of all results
//   - A counter is an exact JSON integer. A rate is an integer in bit/s, a time a UNIX time in whole seconds,
//     a duration a number of seconds; null where it is not known (yet).
//   - "in" is from the customer towards the cloud, "out" the other way.
//   - What only the data plane can tell (circuit.stats, route.get, route.summary, neighbor.list, drops, port.status) is null
//     while none is connected, or its counters cannot be read. Such an answer has a member "unknown": null when all is known,
//     else {"message": "the data plane is not connected: ..", "hint": "start culvert-dataplane"}.
//   - A list answers {"items": [...], "next": null | "cursor"}; ask again with {"cursor": next}. `limit` is at most
//     API_PAGE_MAX and API_PAGE when not given; a page that takes long to make has fewer. Order is stable: by name, prefix, then whatever is left.
//   - A routing domain is named "peering/acme-ams-01/private", "vnet/acme-prod" or "underlay".
//   - Fields are only ever added. A client ignores those that it does not know.

#define API_VERSION     "1.0"
#define API_SOCKET      "/run/culvert/culvertd.sock"
#define API_REQUEST_MAX (1u << 20)  // bytes of one request, newline included
#define API_FILE_MAX    (64u << 20) // bytes of a file passed as a descriptor
#define API_PAGE        500
#define API_PAGE_MAX    1000

// --- main thread -----------------------------------------------------------------------------------------

// {"client": "culvertctl 0.1.0"}? ->
// {"api": "1.0", "version": "0.1.0", "edge": "ams1", "revision": 418, "role": "admin", "features": ["memfd"],
//  "pid": 4711}
#define API_HELLO "hello"

// {} -> {"api": "1.0", "methods": [{"name", "role", "help", "params": [{"name", "type", "required", "help"}]}],
//        "nouns": {"circuit": {"fields": [{"name", "type", ...}]}}}
#define API_DESCRIBE "rpc.describe"

// {"topics": ["model", "session"]?, "since": 17?} -> {"seq": 21, "lost": 0}
// From then on events arrive as notifications (no id):
//   {"jsonrpc": "2.0", "method": "event", "params": {"seq": 22, "time": 1790000000, "topic": "model",
//    "data": {"revision": 419}}}
// seq counts all events of this culvertd, so a topic filter leaves holes. `since` repeats those kept that are
// newer than it. Topics:
//   model    {"revision": 419}
//   pending  {"state": "pending" | "confirmed" | "reverted", "revision": 419, "before": 418, "until", "actor", "decider"}; of a change
//            that was made with "confirm"; reverted also when somebody took it back
//   session  {"peering": "acme-ams-01/private", "link": "primary", "family": 4, "state": "established", "was": "connect",
//             "detail": "", "remote": "169.254.10.1"}; "was" is "unknown" the first time this culvertd hears of it. Sessions that
//             come up or go down; one that did both between two looks was and is "established"
//   port     {"port": "wan0", "state": "up"}      // up | down; also when a data plane is connected for the first time
//   state    {"object": "link/acme-ams-01/primary", "state": "down", "was": "up", "reason": "port wan0 is down",
//             "problem": true}; every change of every object's state, "new" the first time, "gone" the last. One that was
//             renamed is told of with the same state and, in "renamed", what it was called. Kinds of
//             objects: record (what the data plane refuses), problem (an object that cannot be realised), rule, kernel, edge, data-plane, port, interface, domain, limit, session, tunnel, link, circuit
// A client that reads too slowly misses events and is told so as soon as it catches up, under
// the topic "lost": {"seq": 40, "time": .., "topic": "lost", "data": {"lost": 17}}.
#define API_SUBSCRIBE   "subscribe"
#define API_UNSUBSCRIBE "unsubscribe"

// For each noun N of the model:
//   N.list   {"filter": {"customer": "acme"}?, "limit"?, "cursor"?}
//            -> {"revision": 418, "items": [{<fields as in YAML>, "full_name": "acme-ams-01"}], "next": null}
//   N.show   {"name"} -> {"revision": 418, "object": {<fields>, "full_name": "acme-ams-01"}}
//   N.create {"name", "fields": {...}, "if_revision"?, "check"?}
//   N.set    {"name", "fields": {...}, "if_revision"?, "check"?}   a field null = back to its default
//   N.ensure {the same}   create, or set when there is one: asked for twice it makes no second revision
//   N.delete {"name", "if_revision"?, "check"?}
//   circuit.recreate {"name", "to"?, "fields"?, "links"?: {"primary": {..}}, "peerings"?: {"private": {..}}, ..}, circuit.replace {"name",
//            "to", ..}; the answer's "next", if there is one, says who has to do what
//   N.rename {"name", "to", "if_revision"?, "check"?}   the object, its parts and whatever refers to it; traffic goes on
//            -> {"revision": 419, "changed": true, "diff": [...]}
// "name" and "full_name" are whole names: "ams1/wan0" (port), "acme-ams-01/primary" (link), "acme-ams-01/private"
// (peering), "acme-ams-01/acme-prod" (connection).
// `fields` has the form of the YAML model: values with units ("1gbps") or, where a unit is unambiguous, the
// integers that `show` gives. A list is given whole, or as {"add": [..], "remove": [..]} against what it is; to add what is
// there changes nothing, another element with the same key (a tunnel from the same edge) is refused. `check`
// validates and tells the diff, and changes nothing. A change that deletes more than 16 objects and more than a tenth of all
// is refused unless it says "delete": true. With "confirm": "30s" (5s to 24h) it goes back by itself, also after a crash of
// culvertd, unless config.confirm comes so soon; the answer then has "pending": {"revision": 419, "before": 418, "until":
// UNIX time, "actor": "uid:0/root", "decider": null | {"edge", "revision"} (config.confirm, below)}. Until it is confirmed or taken back every other change is refused (conflict). A filter may also name "customer" for a noun without such a field
// whose objects belong to one (links, peerings, connections).

// {"changes": [{"op": "create" | "set" | "ensure" | "delete", "noun": "circuit", "name", "fields": {..}?}..], "if_revision"?,
//  "check"?} -> as N.set. Several objects in one revision, all or nothing, in this order.
#define API_MODEL_CHANGE "model.change"

// {} -> {"revision": 418, "yaml": "version: 1\n..."}; `yaml` is valid input of config.apply.
#define API_CONFIG_SHOW "config.show"
// {"file": "fd"} with a sealed memfd (F_SEAL_WRITE | SHRINK | GROW) as SCM_RIGHTS of the same line, or
// {"text": "..."}; "name": "culvert.yaml"? is what messages call the file.
//   check -> {"revision": 418, "changed": true, "diff": [...]}      diff is the same method with another reader
// Any check of what would be refused although it is valid has "refused": {"code", "message", "hint"} too.
//   apply {.., "if_revision"?} -> {"revision": 419, "changed": true, "diff": [...]}
// diff: [{"op": "set", "noun": "circuit", "name": "acme-ams-01", "effect": "hitless",
//         "fields": [{"field": "bandwidth", "from": "1gbps", "to": "2gbps", "effect": "hitless"}],
//         "text": "~ circuit acme-ams-01 bandwidth 1gbps -> 2gbps (hitless)"}]
// Of a list also "added" and "removed", its elements as text; then the text is "~ vnet acme-prod prefixes -10.1.0.0/16
// +10.2.0.0/16 (routes change)".
#define API_CONFIG_CHECK "config.check"
#define API_CONFIG_DIFF  "config.diff"
#define API_CONFIG_APPLY "config.apply"
// Changes of several edges. `peers` of the node file are those of
//   edge.peers {} -> {"edge": "ams1", "revision": 419, "digest": "0f3a..", "pending": null | as above,
//                     "peers": [{"edge": "ams2", "socket": "/run/.."}]}
// Every answer to a change, a check too, has the "digest" of the model after it, the same on each edge that has the same
// model. With "expand": true it also has what another edge has to be told so that it comes to the same: "changes", as
// model.change takes them, of whatever comes or changes with all fields (of a renamed object also "was"); of config.* instead "yaml" and "secrets":
// {fingerprint: text}, for admins, which config.apply takes. A password may be given as {"value", "fingerprint"}.
// "decider": {"edge", "revision"} with "confirm": at its deadline the change does not go back at once, but comes to what
// that peer's revision has come to: confirmed, or taken back. A peer that does not answer is waited for, five minutes.
#define API_EDGE_PEERS "edge.peers"

// Circuits as their providers see them: no customer, no name, nothing of what they are joined to.
// {"provider"?, "location"?, "limit"?, "cursor"?} -> items {"key", "bandwidth", "location", "provider", "model": "exchange/l2",
//  "state": "not-provisioned", "primary": null | {"edge", "port", "tag", "inner_tag", "device", "path"}, "secondary",
//  "primary_text": "ams1/wan0 101", "secondary_text"}
#define API_CROSS_LIST "cross-connection.list"
// {"key": its service key, or the circuit's name} -> {"revision", "object": as above}
#define API_CROSS_SHOW "cross-connection.show"
// {"key", "begin"?: true = only the first of the two steps, "device"?: ["primary=pe1"], "path"?} and as N.set -> as N.set
#define API_CROSS_PROVISION   "cross-connection.provision"
#define API_CROSS_DEPROVISION "cross-connection.deprovision"

// {"revision": 419?} -> {"revision", "changed": true, "diff": []}: what waits for confirmation is final. Nothing waits:
// not-found; another one, or its time is over: conflict.
#define API_CONFIG_CONFIRM "config.confirm"
// {"revision": 417?, "if_revision"?, "check"?, "delete"?, "confirm"?} -> as N.set. While a revision waits for confirmation
// takes that one back ("revision" is refused then), which no rule prevents. Else makes the model what it was at `revision`,
// by all rules for changes; without it, at the newest but one. Either is a new revision. Fields of the kind "workflow" stay
// where they are. A check answers with the difference also when a rule is against it, which is its "refused".
#define API_CONFIG_ROLLBACK "config.rollback"
// {"limit"?, "cursor"?} -> items, newest first: {"revision", "time", "actor", "on_behalf", "verb", "objects": 3,
//  "object": "circuit acme-ams-01",                 // the first of them by name
//  "again": null | 417,                             // the revision that it made the model's again
//  "pending": null | UNIX time until which it waits}
#define API_CONFIG_HISTORY "config.history"

// {"limit"?, "cursor"?, "since"?: UNIX time, "object"?: "acme-ams-01" (and its parts) or "circuit acme-ams-01",
//  "actor"?: "uid:0", "root" or both} -> items, newest first:
// {"id": 12, "time": 1790000000, "actor": "uid:0/root", "on_behalf": null, "verb": "circuit.set",
//  "object": "circuit acme-ams-01", "revision": 419, "result": "ok",     // or why it was refused or denied
//  "changes": null | [one of diff above; with "to" or "from", all fields, of what was made or deleted; {"more": 12} last],
//  "text": "~ circuit acme-ams-01 bandwidth 50mbps -> 100mbps (hitless)"}   // of the first three
// What was refused or denied, and what was done to sessions, has no changes.
#define API_AUDIT_LIST "audit.list"

// {"limit"?, "cursor"?, "since"?, "object"?} -> items, newest first: what a deleted object counted last on this edge:
// {"id": uid, "object": "acme-ams-01/primary/in", "deleted": 1790000000, "time": 1790000001,
//  "counters": {"kind": "limiter", "packets", "bytes", "limited_packets", "limited_bytes"}, "text": "packets 12, ..."}
// An interface ("attachment/acme-ams-01/private/primary") has rx_packets, rx_bytes, tx_packets, tx_bytes, forwarded, a
// connection's direction packets and bytes.
#define API_COUNTERS_DELETED "counters.deleted"

// {"file": "fd"} with a memfd that can be written, as SCM_RIGHTS of the same line: into it goes a backup, passwords and
// key too -> {"culvert": "0.1.0", "schema": 2, "store": "6f0c..", "revision": 419, "time", "database": bytes}
#define API_STORE_BACKUP "store.backup"
#define API_BACKUP_MAGIC "culvert-backup " // what a backup begins with; then the format's number

// --- route thread: control/sync/methods.c ------------------------------------------------------------------
// A *selector* is at most one of "circuit", "peering" (acme-ams-01/private), "vnet", "domain" (see above), two are refused; an
// object that does not exist is API_NOT_FOUND, no selector means everything of this edge.

// {} ->
// {"version": "0.1.0", "edge": "ams1", "time": 1790000000, "started": 1789990000, "revision": 418,
//  "store": {"uuid": "6f0c...", "state": "ok"},
//  "dataplane": {"state": "synced",          // "down" (not connected), "replaying", "synced",
//                                            // "incomplete" (some records refused), "refused" (all of them),
//                                            // "held" (not connected to, since it may not be ours),
//                                            // "silent" (connected, and it does not answer)
//                "since": 1789990001, "instance": 3, "error": null | "sentence", "hint": null,
//                "records": {"sent": 812, "written": 800, "unchanged": 12, "refused": 0, "pending": 0},   // not yet told
//                "installed": {"interfaces": 6, "vrfs": 5, "routes": 42, "nexthops": 8, "tunnels": 2, "limiters": 4}},
//  "bridge": {"mode": "netns", "route_messages": 91, "overruns": 0, "resyncs": 0, "dumps": 5, "drift": 0,
//             "drift_last": "",                // what was put back last, "route 10.9.0.0/16 table 254 removed"
//             "speakers_pending": 0,           // BGP daemons that have not yet taken over what is configured
//             "quarantined": 0},
//  "turns": {"longest_us": 2804, "longest": "domain: work",   // CPU time of one turn of the route thread's loop, at most, and
//            "recent_us": 1102, "recent": "dataplane: tell"}, // of which callback: since it started, in the last ten
//                                                             // seconds or twenty
//  "circuits": {"up": 1, "degraded": 1, "down": 0, "disabled": 0, "partial": 0, "unknown": 0},
//  "sessions": {"established": 2, "static": 0, "down": 0, "unknown": 0},   // static: up, no BGP is spoken; unknown: not
//                                                                          // heard of yet since the start
//  "routes": {"learned": 12, "rejected": 2, "held": 0, "installed": 42},   // installed: null without a data plane
//  "problems": [{"object": "circuit/acme-ams-01", "level": "warning" | "error", "message": "secondary link on ams2 is unknown", "hint": "",
//                "alike": 0}],    // how many others of that kind have the same message and are not listed
//  "pending": null | {"revision": 419, "before": 418, "until", "actor", "decider"},   // goes back unless it is confirmed
//  (culvertctl adds "peers": those of edge.peers with "revision" and "model": "same" | "other" | "unknown")
//  "unknown": null | {"message": "2 sessions not heard of yet", "hint"}}   // why more problems may be found
#define API_STATUS "status"

// {"circuit"?, "customer"?, "provider"?, "location"?, "limit"?, "cursor"?} -> items, by circuit:
// {"circuit": "acme-ams-01", "customer": "acme", "bandwidth": 1000000000,
//  "state": "up", "reason": "",               // up | degraded | down | disabled | unknown | partial: well
//                                            // as far as this edge sees; and why not up
//  "links": [{"link": "primary", "edge": "ams1", "port": "wan0", "vlan": "100.10",
//             "state": "up", "reason": "",    // up | degraded | down | disabled | unknown (another edge's)
//             "in":  {"packets": 100, "bytes": 12000, "limited_packets": 0, "limited_bytes": 0,
//                     "limited_since": null,  // since when it drops, now or within the last minute
//                     "rate": 412000000, "limited_rate": 0},
//             "out": {the same},              // in, out: null when the link is not ours
//             "peerings": [{"peering": "acme-ams-01/private", "family": 4, "session": "established", "since": 1789990010,
//                           "detail": "", "detail_since": null,   // why it is not up, and when that was first seen
//                           "hint": "",                           // what to do about it
//                           "local": "169.254.10.2", "remote": "169.254.10.1", "remote_asn": 65010,
//                           "accepted": 37, "rejected": 1, "held": 0, "advertised": 2, "limit": 4000,
//                           "kept_until": null,                   // it is down, its routes stay so long (graceful restart)
//                           "untold": null | {"until": 1789990100, "hold": 90},   // it was taken away without a word to his
//                                                                 // router, which keeps it until then at the latest; hold null: not known
//                           "daemon": null | {"state": "silent", "message": "the BGP daemon does not answer: ..", "hint": "ps .."},
//                                                                 // that speaks it, if it is not well: silent | replaced | down
//                           "last_reset": null | {"time": 1789990000, "reason": "Received: Administrative shutdown"},
//                           "timers": null | {"hold": 90, "keepalive": 30},        // in use, s; null: no session
//                           "messages": null | {"updates_in": 12, "invalid_in": 1, "withdraws_in": 3,
//                                               "updates_out": 2, "withdraws_out": 0},   // routes, of this session
//                           "invalid": [{"prefix": "10.72.0.0/16" | null, "reason": "Invalid NEXT_HOP attribute",
//                                        "last": 1789990000, "count": 1}]}]}],  // at most 16, the latest
//  "tunnels": [{"vnet": "acme-prod", "state": "up", "reason": ""}]}  // up | down | unknown; of the vNets it is
//                                            // connected to, those that have one from this edge
// "peerings" has an item for each session: a peering with both address families has two, "family" 4 and 6.
// bytes are IP packet lengths, as billed; rates are over the last second or so, null at first.
// "accepted", "held", "rejected" and "advertised" are that session's own, as its daemon told last (a daemon of more than 50
// sessions tells its numbers every 10 s): 0 when it is down and its routes are not kept, null while nothing has been heard of it. "rejected" are those that
// a rule refuses and those of "invalid" with a prefix; without BGP all of the peering's are its session's, and nothing is
// advertised. "limit" is of each family. Prefixes beyond it are "held": not installed, and next when a place becomes free. A
// link whose peering holds prefixes is degraded.
#define API_CIRCUIT_STATUS "circuit.status"

// {"circuit"} -> {"circuit", "state": enabling | enabled | disabling | disabled, "provider_state": null (no provider) | ..,
//  "missing": [{"what": "it has no peering", "party": customer | provider | operator | cloud,
//               "next": "culvertctl peering create acme-ams-01/private .."}],       // in the order to be done
//  "notes": [the same]}                                                          // what does not keep packets from flowing
#define API_CIRCUIT_CHECK "circuit.check"

// {"circuit", "link"?} ->
// {"circuit": "acme-ams-01", "time": 1790000000,
//  "links": [{"link": "primary", "edge": "ams1",
//             "in":  {"packets", "bytes", "limited_packets", "limited_bytes", "ef_packets", "ef_bytes",
//                     "ef_limited_packets", "ef_limited_bytes", "rate", "limited_rate",   // ef_: within the sums
//                     "limited_since": as in circuit.status,
//                     "best_effort": {"packets", "bytes", "limited_packets", "limited_bytes"}, "ef": {the same},
//                     "contract": {"rate": 50000000, "burst_bytes": 312500, "burst_ms": 50.0, "ef_rate": 0,
//                                  "shaped": true, "queue_ms": 20.0},
//                     "peak_bytes": 42000, "peak_rate": 336000000,   // fullest millisecond of the last minute,
//                                                                    // offered, dropped or not; null = not known
//                     "unshaped_packets": 0,    // policed because the shaper's memory was used up
//                     "last_drops": null | {"start": 1790000000, "length_ms": 2.5, "bytes": 6000, "packets": 4,
//                                           "ongoing": false}},      // a run of drops, ended by a second without
//             "out": {the same},
//             "interfaces": [{"interface": "acme-ams-01/private", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes",
//                             "forwarded", "to_host", "from_host", "generated",
//                             "drops": {"source": 3, "limited": 9}, "tx_drops": {"tx-full": 0}}]}]}
// Reasons are the names of dataplane/wire/drop.h; those at 0 are left out.
#define API_CIRCUIT_STATS "circuit.stats"

// {"peering"?, "circuit"?, "limit"?, "cursor"?} -> items: one of circuit.status's "peerings" with
// {"circuit", "link", "edge"} added.
#define API_PEERING_STATUS "peering.status"
// {"peering", "soft": true?} -> {"cleared": 1, "failed": 0}, sessions of the peering on this edge; soft asks for a
// route refresh and keeps them. An error when none could be cleared.
#define API_PEERING_CLEAR "peering.clear"

// {selector?, "state"?: "installed", "prefix"?: "10.0.0.0/8" (it and what is inside), "limit"?, "cursor"?} -> items:
// {"domain": "peering/acme-ams-01/private", "prefix": "10.1.0.0/16",
//  "state": "installed",   // installed | accepted (not yet or not chosen) | held (over the limit) | rejected | advertised
//  "origin": "bgp",        // bgp | vnet (a vNet's own) | connection (of a joined domain) | static (of the model) | connected
//  "from": "peering/acme-ams-01/private" | null,            // the domain it came from, when another
//  "rule": null, "object": null,                            // of a rejected one, as in bridge.h
//  "nexthops": [{"via": "169.254.10.1", "interface": "acme-ams-01/private", "weight": 1, "usable": true}]}
// Without `state`: everything but "advertised". "unknown" (as above) names a domain whose BGP daemon did not answer: its rejected or
// advertised routes are missing.
#define API_ROUTE_LIST "route.list"
// {selector, "address": "10.1.2.3"} (needed where there is more than one domain) -> {"domain", "address", "route": null | an item of route.list}
// What the data plane does with that destination: longest match among installed routes. Several domains
// (a circuit with several peerings): {"items": [...], "next": null} of these.
#define API_ROUTE_GET "route.get"
// {selector?, "limit"?, "cursor"?} -> items:
// {"domain", "learned": 38, "accepted": 37, "rejected": 1, "held": 0, "installed": 39, "advertised": 2, "limit": 4000,
//  "bytes": 1472}                  // of the data plane's forwarding memory
#define API_ROUTE_SUMMARY "route.summary"

// {selector?, "limit"?, "cursor"?} -> items:
// {"domain", "interface": "acme-ams-01/private", "address": "169.254.10.1", "mac": "02:00:00:00:00:01" | null,
//  "state": "usable" | "unresolved" | null, "since": 1789990000}
#define API_NEIGHBOR_LIST "neighbor.list"

// {"circuit"?, "vnet"?, "port"?, "limit"?, "cursor"?} -> {"items": [...], "next", "total": 12} with items:
// {"interface": "core0", "direction": "rx" | "tx", "reason": "tunnel-unknown", "packets": 12,
//  "help": "no tunnel has this outer source, outer destination and key"}; zeros are left out.
// interface: "acme-ams-01/private" (peering), "vnet/acme-prod" (tunnel), "core0" (port), "core0/unclassified".
#define API_DROPS "drops"

// {"port"?} -> items, this edge's ports ("wan0" or "ams1/wan0" asks for one):
// {"port": "wan0", "role": "customer" | "core", "device": "eth1", "kind": "packet" | "xdp" | "xdp-whole" | "pci" | "vdev", "mac": "02:..",
//  "mtu": 1500,            // in force: the largest IP packet that it carries without tags
//  "state": "up" | "down" | "missing" | "unknown", "reason": null,   // what is wrong beside the link
//  "since": 1789990000, "rx_packets", "rx_bytes", "tx_packets", "tx_bytes",
//  "rx_missed",            // frames that device or kernel had no room for
//  "unclassified",
//  // with AF_XDP sockets only:
//  "zero_copy": false, "tags": "seen" | "switched" | "hidden",   // seen wherever they stand; left in the frame, as it was told
//  "rx_left",              // frames that are not ours, and were left to the kernel
//  "missed_by": {"ring", "memory", "socket"}}   // of rx_missed: worker behind; so far that there was no memory; no socket
#define API_PORT_STATUS "port.status"

// {"check"?: true, "force"?: true} -> what was (check: would be) taken over and removed. While another store or edge owns what this host
// holds, or so much of it is not configured that a sweep is refused, nothing is touched until this was asked for.
// {"adopted": true, "needed": true,           // needed: something was held back
//  "take_over": {"domains": 12, "interfaces": 24, "edge": "ams2", "store": "6f0c..."},   // of whom; "" = of nobody
//  "known": true,                              // the model has this edge; if not, what removes anything needs force
//  "remove": {"domains": 3, "interfaces": 6},  // there, whosever it is, and not configured
//  "there": {"domains": 12, "interfaces": 24}} // all that was found in this host
#define API_EDGE_ADOPT "edge.adopt"

// -> items, what of this machine stands in the edge's way, where it can know:
// {"check": "mtu", "object": "eth1", "state": "ok" | "warning" | "unknown", "message", "fix": a command, "" = nothing to mend}
#define API_DOCTOR "doctor"

// {"revision": 12, "seconds": 2} -> as soon as nothing of it is queued, under way or refused, or the number of what is
// refused has not changed for 2 s, else after `seconds`:
// {"revision": 12, "in_force": true,  // also without a data plane, when nothing in it was for one
//  "dataplane": "synced", "refused": [{"object": "interface c1/private",
//  "message": "another one has its port and tags, its tunnel's key or its address", "alike": 0}],   // as in status; at most 20
//  "untold": null | {"sessions": 1, "one": "c1/private/primary", "hold": 90}} // sessions that ended without a word to the far
//  end, since the BGP daemon did not answer: he keeps his until the hold time (s, null = not known) is over
#define API_REVISION_WAIT "revision.wait"

#endif

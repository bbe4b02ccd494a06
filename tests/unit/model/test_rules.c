// SPDX-License-Identifier: BSD-3-Clause
// Each rule refuses what it is for, names itself and the objects, and lets the rest pass.

#include "control/model/circuit.h"
#include "tests/unit/model/base.h"
#include "tests/unit/model/changes.h"

#define GATEWAY(gateway, words)                                                             \
	{                                                                                   \
		SET("vnet", "globex-prod",                                                  \
			"\"tunnels\": [" TUNNEL("ams1", gateway, "192.0.2.1", "7009") "]"), \
			"tunnel-addresses", words                                           \
	}

#define DUAL(primary, secondary)                                          \
	SET("peering", "acme-ams-01/private",                             \
		"\"primary-subnet-v6\": \"" primary                      \
		"\", \"secondary-subnet-v6\": \"" secondary "\"")

struct rule_case {
	const char *changes;
	const char *rule; // NULL: taken
	const char *says; // part of the message or the hint
};

static const struct rule_case cases[] = {
	// references
	{CREATE("circuit", "c", "\"customer\": \"acmee\", \"bandwidth\": \"50mbps\""),
		"reference-exists", "did you mean \"acme\""},
	{LINK("globex-ams-01/secondary", "ams3", ""), "reference-exists", "ams3"},
	{CREATE("link", "globex-ams-01/secondary", "\"edge\": \"ams2\", \"port\": \"wan7\""),
		"reference-exists", "ams2/wan7"},
	{DELETE("customer", "acme"), "in-use", "cannot delete customer \"acme\""},
	{DELETE("port", "ams1/wan0"), "in-use", "ams1/wan0"},
	{DELETE("port", "ams1/core0"), "route-via", "192.0.2.254"},
	{DELETE("edge", "ams1"), "in-use", "edge \"ams1\""},
	{DELETE("edge", "ams1"), "in-use", "culvertctl vnet set acme-prod --remove-tunnels ams1"},
	{DELETE("vnet", "acme-prod"), "in-use",
		"culvertctl connection delete acme-ams-01/acme-prod"},
	{DELETE("peering", "acme-ams-01/private"), "in-use", "acme-ams-01/acme-prod"},
	{DELETE("circuit", "acme-ams-01"), NULL, NULL},
	{DELETE("connection", "acme-ams-01/acme-prod") "," DELETE("circuit", "acme-ams-01"), NULL,
		NULL},
	{DELETE("link", "acme-ams-01/secondary"), NULL, NULL},
	{DELETE("circuit", "nothing"), "not-found", "culvertctl circuit list"},
	{DELETE("circuit", "acme-ams-1"), "not-found", "did you mean \"acme-ams-01\""},
	{SET("circuit", "nothing", "\"burst\": \"50ms\""), "not-found", "nothing"},
	{CIRCUIT("acme-ams-01"), "exists", "culvertctl circuit set acme-ams-01"},
	// names and fields
	{CIRCUIT("Acme"), "name", "is not a name"},
	{CIRCUIT("a/b"), "name", "not the name of a circuit"},
	{LINK("acme-ams-01", "ams1", ""), "name", "not the name of a link"},
	{LINK("globex-ams-01/third", "ams2", ""), "name", "primary, secondary"},
	{CREATE("link", "globex-ams-01/secondary",
		 "\"role\": \"primary\", \"edge\": \"ams2\", \"port\": \"wan0\""),
		"name", "role"},
	{SET("link", "acme-ams-01/primary", "\"role\": \"secondary\""), "immutable",
		"part of its name"},
	{CREATE("circuit", "c", "\"customer\": \"acme\""), "required", "bandwidth"},
	{SET("circuit", "acme-ams-01", "\"bandwidth\": null"), "required", "bandwidth"},
	{SET("circuit", "acme-ams-01", "\"bandwith\": \"1gbps\""), "unknown-key",
		"did you mean \"bandwidth\""},
	{SET("circuit", "acme-ams-01", "\"bandwidth\": 100"), "value",
		"needs a unit, such as 100mbps"},
	{SET("circuit", "acme-ams-01", "\"links\": []"), "unknown-key", "links"},
	{"{\"op\": \"make\", \"noun\": \"circuit\", \"name\": \"c\"}", "change", "unknown op"},
	{"{\"op\": \"set\", \"noun\": \"circus\", \"name\": \"c\"}", "change", "noun"},
	{"7", "change", "noun"},
	// circuits
	{SET("circuit", "acme-ams-01", "\"bandwidth\": \"1gbps\""), NULL, NULL},
	{SET("circuit", "acme-ams-01", "\"bandwidth\": \"60mbps\""), "bandwidth-standard",
		"is not sold"},
	{SET("circuit", "acme-ams-01", "\"bandwidth\": \"200mbps\""), "bandwidth-offered",
		"offered there: 50mbps, 100mbps, 1gbps"},
	{SET("circuit", "acme-ams-01", "\"bandwidth\": \"100mbps\"") "," SET(
		 "circuit", "acme-ams-01", "\"bandwidth\": \"50mbps\""),
		NULL, NULL},
	{SET("circuit", "acme-ams-01", "\"customer\": \"globex\""), "immutable", "recreate"},
	{SET("circuit", "acme-ams-01", "\"service-key\": \"00000000-0000-4000-8000-000000000009\""),
		"immutable", "recreate"},
	{CREATE("circuit", "c",
		 "\"customer\": \"acme\", \"bandwidth\": \"50mbps\", \"service-key\": "
		 "\"00000000-0000-4000-8000-000000000001\""),
		"service-key-unique", "acme-ams-01"},
	{SET("circuit", "acme-ams-01", "\"burst\": \"1ms\""), "value", "10ms..2s"},
	// ports
	{SET("port", "ams1/wan0", "\"speed\": \"99mbps\", \"oversubscription\": \"100\""), "port-capacity",
		"99mbps x 100 % = 99mbps, sold 100mbps"},
	{SET("port", "ams1/wan0", "\"speed\": \"50mbps\"") "," SET(
		 "circuit", "acme-ams-01", "\"bandwidth\": \"100mbps\""),
		"port-capacity", "150mbps"},
	{SET("port", "ams1/wan0", "\"speed\": null"), NULL, NULL},
	{SET("port", "ams1/wan0", "\"address\": \"192.0.3.1/24\""), "port-address",
		"customer port"},
	{SET("port", "ams1/core0", "\"address\": null"), "port-address", "needs an address"},
	{SET("port", "ams1/core0", "\"address\": \"192.0.2.0/24\""), "port-address-host",
		"no host address"},
	{SET("port", "ams1/core0", "\"address\": \"192.0.2.3/24\""), "tunnel-addresses",
		"192.0.2.1"},
	{CREATE("port", "ams1/core1", "\"faces\": \"core\", \"address\": \"192.0.2.9/28\""),
		"port-subnets", "ams1/core0"},
	{SET("port", "ams1/wan0",
		 "\"faces\": \"core\", \"speed\": null, \"oversubscription\": null"),
		"immutable", "recreate"},
	{SET("edge", "ams1",
		 "\"routes\": [{\"prefix\": \"198.51.100.0/24\", \"via\": \"203.0.113.1\"}]"),
		"route-via", "203.0.113.1"},
	// links
	{LINK("globex-ams-01/secondary", "ams2", ", \"outer-tag\": 200"), "subnet-per-link",
		"secondary-subnet"},
	{SET("peering", "globex-ams-01/private",
		 "\"secondary-subnet\": \"169.254.10.4/30\"") "," LINK("globex-ams-01/secondary",
		 "ams2", ", \"outer-tag\": 200"),
		NULL, NULL},
	{SET("link", "acme-ams-01/secondary", "\"edge\": \"ams1\", \"outer-tag\": 101"),
		"links-two-edges", "both on edge \"ams1\""},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 100"), "vlan-stack-unique",
		"tag 100"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 200, \"inner-tag\": 20"),
		"vlan-stack-unique", "tags 200.20"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 200, \"inner-tag\": 21"),
		NULL, NULL},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 200"), NULL, NULL},
	{CIRCUIT("c") "," LINK("c/primary", "ams2", ", \"outer-tag\": 200, \"inner-tag\": 20"),
		NULL, NULL},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ""), NULL, NULL},
	{CIRCUIT("c") "," CIRCUIT("d") "," LINK("c/primary", "ams1", "") "," LINK(
		 "d/primary", "ams1", ""),
		"vlan-stack-unique", "untagged"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 200") "," CREATE("peering",
		 "c/private",
		 "\"c-tag\": 20, \"primary-subnet\": \"169.254.10.0/30\", \"peer-asn\": 65001, "
		 "\"local-asn\": 64900"),
		"vlan-stack-unique", "tags 200.20"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", "") "," CREATE("peering", "c/private",
		 "\"c-tag\": 100, \"primary-subnet\": \"169.254.10.0/30\", \"peer-asn\": 65001, "
		 "\"local-asn\": 64900"),
		"vlan-stack-unique", "tag 100"},
	{SET("peering", "globex-ams-01/private", "\"c-tag\": 5"), "vlan-depth", "C-tag"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"inner-tag\": 7"), "vlan-inner-outer",
		"outer-tag: 7"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1", ", \"outer-tag\": 4095"), "value", "1..4094"},
	{CIRCUIT("c") "," CREATE("link", "c/primary", "\"edge\": \"ams1\", \"port\": \"core0\""),
		"port-faces-customer", "ams1/core0"},
	{SET("link", "acme-ams-01/primary", "\"mtu\": 9000"), "link-mtu", "--mtu 9000"},
	// peerings
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": \"169.254.10.0/29\""),
		"subnet-length", "/30"},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": \"169.254.10.4/30\""),
		"subnets-distinct", "the same"},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": null"), "subnet-per-link",
		"primary-subnet"},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": \"192.0.2.8/30\""),
		"subnet-underlay", "core port"},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": \"10.9.4.0/30\""),
		"connected-subnets", "10.9.4.0/30"},
	{SET("peering", "acme-ams-01/private", "\"peer-asn\": 64900"), "asn-differ", "64900"},
	{SET("peering", "acme-ams-01/private", "\"hold\": \"9s\""), "timers", "keepalive: 3s"},
	{SET("peering", "acme-ams-01/private", "\"hold\": \"9s\", \"keepalive\": \"3s\""), NULL,
		NULL},
	{SET("peering", "acme-ams-01/private", "\"routes\": [\"2001:db8::/32\"]"), "routes-family",
		"is of IPv6"},
	{SET("peering", "acme-ams-01/private", "\"routes\": [\"10.1.0.0/16\", \"10.1.0.0/16\"]"),
		"routes-family", "two routes to 10.1.0.0/16"},
	{SET("peering", "acme-ams-01/private", "\"connect\": \"1500ms\""), "timers",
		"whole seconds"},
	{CREATE("peering", "acme-ams-01/public", "\"peer-asn\": 1, \"local-asn\": 2"), "name",
		"private"},
	// vnets
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.40", "192.0.2.1", "7001") "]"),
		"tunnel-triple", "vnet \"acme-prod\""},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.1", "7001") "]"),
		NULL, NULL},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.1", "0") "]"),
		NULL, NULL},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.1", "4294967295") "]"),
		NULL, NULL},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.1", "4294967296") "]"),
		"value", "out of range"},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [{\"edge\": \"ams1\", \"gateway\": \"192.0.2.41\", \"local\": "
		 "\"192.0.2.1\"}]"),
		"required", "key"},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.1", "1") "," TUNNEL(
			 "ams1", "192.0.2.41", "192.0.2.1", "2") "]"),
		"tunnel-per-edge", "two tunnels"},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams1", "192.0.2.41", "192.0.2.2", "1") "]"),
		"tunnel-addresses", "192.0.2.2"},
	{SET("vnet", "globex-prod",
		 "\"tunnels\": [" TUNNEL("ams3", "192.0.2.41", "192.0.2.1", "1") "]"),
		"reference-exists", "ams3"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"10.9.0.0/16\", \"10.9.1.0/24\"]"),
		"prefixes-distinct", "10.9.1.0/24"},
	{SET("vnet", "acme-prod", "\"prefixes\": []"), "required", "must not be empty"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"0.0.0.0/0\"]"), "prefixes-unicast",
		"0.0.0.0/0"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"::1/128\"]"), "prefixes-unicast", "loopback"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"::/1\"]"), "prefixes-unicast",
		"holds addresses that no host has"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"::ffff:0:0/96\"]"), "prefixes-unicast",
		"IPv4-mapped"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"fe80::/64\"]"), "prefixes-unicast",
		"link-local"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"240.0.0.0/24\"]"), "prefixes-unicast",
		"reserved"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"169.254.99.0/24\"]"), "prefixes-unicast",
		"link-local"},
	GATEWAY("0.0.0.0", "0.0.0.0/8"),
	GATEWAY("127.0.0.1", "loopback"),
	GATEWAY("224.0.0.5", "multicast"),
	GATEWAY("240.0.0.1", "reserved"),
	GATEWAY("255.255.255.255", "broadcast"),
	GATEWAY("192.0.2.0", "no host of 192.0.2.0/24"),
	GATEWAY("192.0.2.255", "no host of 192.0.2.0/24"),
	GATEWAY("192.0.2.1", "address of port \"ams1/core0\""),
	GATEWAY("192.0.2.2", "address of port \"ams2/core0\""),
	{SET("port", "ams1/core0", "\"address\": \"127.0.0.2/8\""), "port-address-host",
		"loopback"},
	{SET("port", "ams1/core0", "\"address\": \"0.0.0.1/8\""), "port-address-host", "0.0.0.0/8"},
	{SET("edge", "ams1", "\"routes\": [{\"prefix\": \"127.0.0.0/8\", \"via\": \"192.0.2.7\"}]"),
		"route-unicast", "loopback"},
	{SET("edge", "ams1",
		 "\"routes\": [{\"prefix\": \"198.51.100.0/24\", \"via\": \"192.0.2.255\"}]"),
		"route-via", "192.0.2.255"},
	{SET("edge", "ams1", "\"routes\": [{\"prefix\": \"0.0.0.0/0\", \"via\": \"192.0.2.7\"}]"),
		NULL, NULL},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet\": \"224.0.0.4/30\""),
		"subnet-length", "multicast"},
	{SET("peering", "acme-ams-01/private", "\"routes\": [\"127.0.0.0/16\"]"), "routes-family",
		"loopback"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"192.0.2.128/25\"]"), "prefixes-underlay",
		"192.0.2.0/24"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"198.51.100.0/24\"]"), "prefixes-underlay",
		"underlay route"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"169.254.0.0/16\"]"), "connected-subnets",
		"169.254.10.0/30"},
	// connections
	{CREATE("vnet", "v",
		 "\"customer\": \"globex\", \"prefixes\": [\"10.8.0.0/16\"]") "," CREATE("connectio"
											 "n",
		 "acme-ams-01/v", ""),
		"same-customer", "customer \"globex\""},
	{CREATE("vnet", "v", "\"customer\": \"acme\", \"prefixes\": [\"10.9.8.0/24\"]") "," CREATE(
		 "connection", "acme-ams-01/v", ""),
		"connected-prefixes",
		"10.9.8.0/24 of vnet \"v\" overlaps 10.9.0.0/16 of vnet \"acme-prod\""},
	{CREATE("vnet", "v", "\"customer\": \"acme\", \"prefixes\": [\"10.9.8.0/24\"]"), NULL,
		NULL},
	{CREATE("vnet", "v", "\"customer\": \"acme\", \"prefixes\": [\"10.8.0.0/16\"]") "," CREATE(
		 "connection", "acme-ams-01/v", "\"weight\": 3"),
		NULL, NULL},
	{CIRCUIT("c") "," CREATE("connection", "c/acme-prod", ""), "reference-exists", "c/private"},
	{CIRCUIT("c") "," PEERING("c/private", "169.254.10.0/30") "," CREATE(
		 "connection", "c/acme-prod", ""),
		NULL, NULL},
	{SET("connection", "acme-ams-01/acme-prod", "\"weight\": 0"), "value", "1..256"},
	// families
	{SET("vnet", "acme-prod", "\"prefixes\": [\"2001:db8:9::/48\"]"), "families-meet",
		"acme-ams-01/private"},
	{SET("vnet", "acme-prod", "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]"), NULL,
		NULL},
	{SET("peering", "acme-ams-01/private", "\"secondary-subnet\": \"2001:db8:1::/126\""),
		"subnets-family", "IPv6"},
	{DUAL("2001:db8:1::/126", "2001:db8:1::4/126"), NULL, NULL},
	{DUAL("2001:db8:1::/126", "2001:db8:1::4/126") "," SET(
		 "vnet", "acme-prod", "\"prefixes\": [\"2001:db8:9::/48\"]"),
		NULL, NULL},
	{DUAL("2001:db8:1::/126", "2001:db8:1::/126"), "subnets-distinct", "the same"},
	{DUAL("2001:db8:1::/127", "2001:db8:1::4/126"), "subnet-length", "/126"},
	{DUAL("169.254.20.0/30", "169.254.20.4/30"), "subnets-family",
		"primary-subnet-v6 is of IPv4"},
	{DUAL("2001:db8:9::/126", "2001:db8:9::4/126") "," SET("vnet", "acme-prod",
		 "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]"),
		"connected-subnets", "2001:db8:9::4/126"},
	{DUAL("2001:db8:1::/126", "2001:db8:1::4/126") "," SET(
		 "link", "acme-ams-01/primary", "\"mtu\": 1279"),
		"link-mtu-ipv6", "acme-ams-01/primary"},
	{SET("peering", "acme-ams-01/private", "\"primary-subnet-v6\": \"2001:db8:1::/126\""),
		"subnets-family", "give secondary-subnet-v6, too"},
	{SET("peering", "acme-ams-01/private",
		 "\"primary-subnet\": null, \"secondary-subnet\": null, \"subnet-v6\": "
		 "\"2001:db8:1::/125\"") "," SET("vnet", "acme-prod",
		 "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]"),
		NULL, NULL},
	{SET("peering", "acme-ams-01/private",
		 "\"primary-subnet\": \"2001:db8:1::/126\", \"secondary-subnet\": "
		 "\"2001:db8:1::4/126\", \"subnet-v6\": \"2001:db8:2::/125\""),
		"subnets-family", "both of IPv6"},
	{SET("peering", "acme-ams-01/private", "\"subnet\": \"169.254.10.0/29\""), "subnet-once",
		"primary-subnet is given beside subnet"},
	{SET("peering", "acme-ams-01/private",
		 "\"primary-subnet\": null, \"secondary-subnet\": null, \"subnet\": "
		 "\"169.254.10.0/29\", \"subnet-v6\": \"2001:db8:1::/125\""),
		NULL, NULL},
	{SET("peering", "acme-ams-01/private",
		 "\"primary-subnet\": null, \"secondary-subnet\": null, \"subnet\": "
		 "\"169.254.10.0/30\""),
		"subnet-length", "/29"},
	{SET("peering", "acme-ams-01/private",
		 "\"primary-subnet\": null, \"secondary-subnet\": null, \"subnet\": "
		 "\"10.9.4.0/29\""),
		"connected-subnets", "10.9.4.4/30"},
	{SET("peering", "acme-ams-01/private", "\"routes\": [\"2001:db8:7::/48\"]"),
		"routes-family", "is of IPv6"},
	{DUAL("2001:db8:1::/126", "2001:db8:1::4/126") "," SET("peering", "acme-ams-01/private",
		 "\"routes\": [\"2001:db8:7::/48\", \"10.1.0.0/16\"]"),
		NULL, NULL},
	{SET("edge", "ams1",
		 "\"routes\": {\"add\": [{\"prefix\": \"2001:db8::/32\", \"via\": "
		 "\"192.0.2.254\"}]}"),
		"route-family", "2001:db8::/32"},
	// IPv6 where 1280 bytes do not fit
	{SET("port", "ams1/core0", "\"mtu\": 1300"), NULL, NULL},
	{SET("port", "ams1/core0", "\"mtu\": 1307") "," SET(
		 "vnet", "acme-prod", "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]"),
		"tunnel-mtu-ipv6", "culvertctl port set ams1/core0 --mtu 1308"},
	{SET("port", "ams1/core0", "\"mtu\": 1308") "," SET(
		 "vnet", "acme-prod", "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]"),
		NULL, NULL},
	{SET("vnet", "acme-prod",
		 "\"prefixes\": [\"2001:db8:9::/48\", \"10.9.0.0/16\"]") "," CREATE("exit", "out",
		 "\"vnet\": \"acme-prod\", \"tunnels\": [" TUNNEL("ams2", "192.0.2.77", "192.0.2.2",
			 "7077") "]") "," SET("port", "ams2/core0", "\"mtu\": 1300"),
		"tunnel-mtu-ipv6", "exit \"out\""},
	{CIRCUIT("c") "," LINK("c/primary", "ams1",
		 ", \"outer-tag\": 300, \"mtu\": 1279") "," PEERING("c/private",
		 "2001:db8:1::/126"),
		"link-mtu-ipv6", "culvertctl link set c/primary --mtu 1280"},
	{CIRCUIT("c") "," LINK("c/primary", "ams1",
		 ", \"outer-tag\": 300, \"mtu\": 1280") "," PEERING("c/private",
		 "2001:db8:1::/126"),
		NULL, NULL},
	{CREATE("port", "ams1/core6",
		 "\"faces\": \"core\", \"address\": \"2001:db8:c::1/64\", \"mtu\": 1279"),
		"port-mtu-ipv6", "--mtu 1280"},
};

static void test_rules(void **state)
{
	struct model *old = base();
	struct findings findings;
	char text[2048];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "[%s]", cases[i].changes);
		struct model *new = change(old, text, &findings);
		if (!cases[i].rule) {
			if (!new)
				fail_msg("%s\nwas refused: %s", text, findings.item[0].message);
			model_unref(new);
			continue;
		}
		if (new)
			fail_msg("%s\nwas taken, not refused by %s", text, cases[i].rule);
		bool found = false;
		for (unsigned int j = 0; j < findings.count; j++) {
			const struct finding *f = &findings.item[j];
			// A rule's refusal says how it should be, at the least.
			if (f->code == API_REFUSED)
				assert_true(f->hint[0] != '\0');
			found |= !strcmp(f->rule, cases[i].rule) &&
				 (strstr(f->message, cases[i].says) ||
					 strstr(f->hint, cases[i].says));
		}
		const struct finding *f = &findings.item[0];
		if (!found)
			fail_msg("%s\ngave %s: %s (%s)", text, f->rule, f->message, f->hint);
	}
	model_unref(old);
}

// The one transition that is about two committed states.
static void test_never_lowered(void **state)
{
	struct model *old = base();
	struct findings findings;
	struct model *raised = change(old,
		"[" SET("circuit", "acme-ams-01", "\"bandwidth\": \"100mbps\"") "]", &findings);

	assert_non_null(raised);
	assert_null(change(raised,
		"[" SET("circuit", "acme-ams-01", "\"bandwidth\": \"50mbps\"") "]", &findings));
	assert_string_equal(findings.item[0].rule, "raise-only");
	assert_non_null(strstr(findings.item[0].hint, "recreate"));
	assert_true(model_circuit(raised, "acme-ams-01")->bandwidth == 100000000);
	assert_true(model_circuit(old, "acme-ams-01")->bandwidth ==
		    50000000); // snapshots do not change
	model_unref(raised);
	model_unref(old);
}

static void test_host_domain_table(void **state)
{
	struct findings findings = {0};
	struct model_options options = {.host_domain = HOST_DOMAIN_TABLE};
	struct model *empty = model_create(&options), *model = NULL;

	assert_int_equal(
		model_parse(empty, base_yaml, strlen(base_yaml), "x", &model, &findings), -EINVAL);
	assert_string_equal(findings.item[0].rule, "subnet-unique");
	assert_int_equal(findings.count, 1);
	model_unref(empty);
}

static void test_lab(void **state)
{
	struct model *old = base_with(HOST_DOMAIN_NETNS, true);
	struct findings findings;
	struct model *new = change(old,
		"[" SET("link", "acme-ams-01/secondary",
			"\"edge\": \"ams1\", \"outer-tag\": 101") "]",
		&findings);

	assert_non_null(new);
	model_unref(new);
	model_unref(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_never_lowered),
		cmocka_unit_test(test_host_domain_table),
		cmocka_unit_test(test_lab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TEST_MODEL_CHANGES_H
#define TEST_MODEL_CHANGES_H

// Changes as change() takes them.

#define SET(noun, name, fields)                                                                  \
	"{\"op\": \"set\", \"noun\": \"" noun "\", \"name\": \"" name "\", \"fields\": {" fields \
	"}}"
#define CREATE(noun, name, fields)                                       \
	"{\"op\": \"create\", \"noun\": \"" noun "\", \"name\": \"" name \
	"\", \"fields\": {" fields "}}"
#define RENAME(noun, name, to) \
	"{\"op\": \"rename\", \"noun\": \"" noun "\", \"name\": \"" name "\", \"to\": \"" to "\"}"
#define DELETE(noun, name) "{\"op\": \"delete\", \"noun\": \"" noun "\", \"name\": \"" name "\"}"
#define TUNNEL(edge, gateway, local, key)                                            \
	"{\"edge\": \"" edge "\", \"gateway\": \"" gateway "\", \"local\": \"" local \
	"\", \"key\": " key "}"
#define CIRCUIT(name) CREATE("circuit", name, "\"customer\": \"acme\", \"bandwidth\": \"50mbps\"")
#define PEERING(name, subnet)   \
	CREATE("peering", name, \
		"\"primary-subnet\": \"" subnet "\", \"peer-asn\": 65001, \"local-asn\": 64900")
#define LINK(name, edge, more) \
	CREATE("link", name, "\"edge\": \"" edge "\", \"port\": \"wan0\"" more)

#endif

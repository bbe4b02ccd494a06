# SPDX-License-Identifier: BSD-3-Clause
"""The edge of edge.py, with a customer who has both address families on one peering."""

from edge import EdgeLab, host

PREMISES6, PREMISES6_HOST = "fd00:1::/64", "fd00:1::10"
VNET6, VNET6_HOST = "fd00:9::/64", "fd00:9::1"
SUBNETS6 = ("fd00:77::/126", "fd00:77::4/126")


class DualLab(EdgeLab):
    """acme's router, his BIRD and his gateway know both families, and so does the model, unless `dual` is False."""

    dual = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_subnets6(SUBNETS6)

    def set_subnets6(self, subnets):
        """Of what is configured from now on."""
        self.subnets6 = subnets
        self.acme.more = f"""protocol static premises6 {{ ipv6; route {PREMISES6} blackhole; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; scan time 5; }}
protocol bgp edge6 {{
	local {host(subnets[0], 1)} as {self.acme.asn};
	neighbor {host(subnets[0], 2)} as 64900;
	connect retry time 1;
	connect delay time 1;
	error wait time 1, 2;
	graceful restart on;
	ipv6 {{ import all; export where proto = "premises6"; }};
}}
"""

    def make_attachment(self, c):
        super().make_attachment(c)
        if c is self.acme:
            self.with_ipv6(c.router)
            self.address6()
            c.router.ip("addr", "add", PREMISES6_HOST + "/128", "dev", "lo")

    def with_ipv6(self, ns):
        for key in ("all", "default"):
            ns.sysctl(f"net.ipv6.conf.{key}.disable_ipv6", 0)
            ns.sysctl(f"net.ipv6.conf.{key}.keep_addr_on_down", 1)

    def address6(self):
        router = self.acme.router
        router.ip("-6", "addr", "flush", "dev", "eth0", "scope", "global")
        router.ip("addr", "add", host(self.subnets6[0], 1) + "/126", "dev", "eth0", "nodad")

    def start_peer(self, c, delay_ms=0):
        super().start_peer(c, delay_ms)
        if c is self.acme:
            self.with_ipv6(c.gateway_ns)
            c.gateway_ns.ip("addr", "add", VNET6_HOST + "/128", "dev", "vnet0", "nodad")
            c.gateway_ns.ip("route", "replace", "fd00:1::/32", "dev", "vnet0", "src", VNET6_HOST)

    def vnet_text(self, c):
        text = super().vnet_text(c)
        return text.replace("prefixes: [10.9.0.0/16]", f"prefixes: [10.9.0.0/16, {VNET6}]") if self.dual and c is self.acme else text

    def circuit_text(self, c):
        text = super().circuit_text(c)
        if not self.dual or c is not self.acme:
            return text
        return text.replace("        peer-asn:", f"""        primary-subnet-v6: {self.subnets6[0]}
        secondary-subnet-v6: {self.subnets6[1]}
        peer-asn:""")

    def ping6(self, count=5):
        done = self.acme.router.run("ping", "-n", "-q", "-I", PREMISES6_HOST, "-c", count, "-i", 0.05, "-w", 5, VNET6_HOST, check=False)
        return f"{count} received" in done.stdout

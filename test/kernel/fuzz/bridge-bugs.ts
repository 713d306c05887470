// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

/** Mistakes that a bridge's author might make. */
export const BRIDGE_BUGS: readonly Bug[] = [
  {
    what: 'the last reserved group address is forwarded',
    file: 'bridge/bridge.bpf.c',
    from: 'mac->bytes[5] < 0x10',
    to: 'mac->bytes[5] < 0x0f',
  },
  {
    what: 'a broadcast is told by its first and last bytes',
    file: 'bridge/bridge.bpf.c',
    from: '*(const u16 *)&mac->bytes[2] == 0xffff &&\n',
    to: '\n',
  },
  {
    what: 'an address is zero when its first four bytes are',
    file: 'bridge/bridge.bpf.c',
    from: ' | *(const u16 *)&mac->bytes[4]);',
    to: ');',
  },
  {
    what: 'what is larger than the MTU by the length of a tag goes out',
    file: 'bridge/bridge.bpf.c',
    from: 'c->skb->len <= mtu + w->l3_off',
    to: 'c->skb->len <= mtu + w->l3_off + 4',
  },
  {
    what: 'a segment is measured without its IP header',
    file: 'bridge/bridge.bpf.c',
    from: 'segment + w->l4_off - w->l3_off + 20 > mtu',
    to: 'segment + 20 > mtu',
  },
  {
    what: 'isolated ports are sent what was learned behind them',
    file: 'bridge/bridge.bpf.c',
    from: 'has_port(settings.isolated, port) && has_port',
    to: 'has_port(settings.isolated, port) && !has_port',
  },
  {
    what: 'ports share the limits of the first one',
    file: 'bridge/flood.h',
    from: 'u32 index = (c->port & (CUBE_PORTS - 1)) * FLOOD_KINDS + ',
    to: 'u32 index = ',
  },
  {
    what: 'a dry run takes a token',
    file: 'bridge/flood.h',
    from: 'bucket = &full;',
    to: 'bucket = limit ? bucket : &full;',
  },
  {
    what: 'the frame itself goes by the first port, linked to a cube or not',
    file: 'bridge/flood.h',
    from: 'final = targets & settings.cubes;',
    to: 'final = 0;',
  },
  {
    what: 'copies with the other tag are sent as the frame itself is',
    file: 'bridge/flood.h',
    from: 'if (vlan_set_tag(c, f, !ends_tagged))',
    to: 'if (vlan_set_tag(c, f, ends_tagged))',
  },
  {
    what: 'the next cube is told a VLAN whose tag is not there',
    file: 'bridge/flood.h',
    from: 'c->work->vlan = ends_tagged ? f->dst.vlan : 0;',
    to: 'c->work->vlan = f->dst.vlan;',
  },
  {
    what: 'a burst is one larger',
    file: 'include/token-bucket.h',
    from: 'full > now + tolerance',
    to: 'full > now + tolerance + interval',
  },
  {
    what: 'addresses do not age',
    file: 'bridge/fdb.h',
    from: ' && now - entry->seen <= settings.ageing',
    to: '',
  },
  {
    what: 'what was learned under other ports is believed',
    file: 'bridge/fdb.h',
    from: 'entry->place >> 8 == settings.ports_tag && ',
    to: '',
  },
  {
    what: 'a host that moves is still sought where it was',
    file: 'bridge/fdb.h',
    from: 'if (likely(old.place == fresh.place && old.seen == now))',
    to: 'if (likely(old.place >> 8 == fresh.place >> 8 && old.seen == now))',
  },
  {
    what: 'the time of an address is not taken anew',
    file: 'bridge/fdb.h',
    from: 'old.place == fresh.place && old.seen == now',
    to: 'old.place == fresh.place && fdb_holds(&old, now)',
  },
  {
    what: 'a static address may be used anywhere',
    file: 'bridge/fdb.h',
    from: 'return *fixed == port ? 0 : DROP_STATIC_ELSEWHERE;',
    to: 'return 0;',
  },
  {
    what: 'a learned port that has left the VLAN is used',
    file: 'bridge/fdb.h',
    from: 'if (!has_port(f->vlan.members, port))\n\t\treturn NO_PLACE;',
    to: '',
  },
  {
    what: 'the priority of a tag is lost',
    file: 'bridge/vlan.h',
    from: 'f->priority = tci & VLAN_PCP_DEI;',
    to: 'f->priority = 0;',
  },
  {
    what: 'an access port takes the tag of its own VLAN',
    file: 'bridge/vlan.h',
    from: '(vid || stacked)',
    to: '((vid && vid != settings.native[port]) || stacked)',
  },
  {
    what: 'a second tag behind one of priority leads into another VLAN',
    file: 'bridge/vlan.h',
    from: 'c->work->ether_type == ETH_P_8021Q || ',
    to: '',
  },
  {
    what: 'a tag that is still inside the frame is read in the wrong byte order',
    file: 'bridge/vlan.h',
    from: 'return bpf_ntohs(tci);',
    to: 'return tci;',
  },
  {
    what: 'the next cube is told a network header behind the tag that was taken off',
    file: 'bridge/vlan.h',
    from: 'w->l3_off -= 4;',
    to: '',
  },
  {
    what: 'a tag of priority leaves a trunk without the number of the VLAN',
    file: 'bridge/vlan.h',
    from: '(c->skb->vlan_tci & VLAN_VID) != vid',
    to: 'false',
  },
];

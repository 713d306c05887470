// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

const CHECK = 'ddos-mitigator/check.h';

/** Mistakes that a mitigator's author might make. */
export const MITIGATOR_BUGS: readonly Bug[] = [
  {
    what: 'a prefix decides although the address itself is listed',
    file: CHECK,
    from: 'if (!found && has_prefixes) {',
    to: 'if (has_prefixes) {',
  },
  {
    what: 'prefixes of IPv6 hold IPv4 addresses',
    file: CHECK,
    from: 'if (found && v4 && *found & LIST_V6)',
    to: 'if (false)',
  },
  {
    what: 'prefixes are looked up two bits too short',
    file: CHECK,
    from: '{.length = 128, .addr = *addr}',
    to: '{.length = 126, .addr = *addr}',
  },
  {
    what: 'an allowed source has to keep to the lists of destinations',
    file: CHECK,
    from: 'cube_count(c, &counters, COUNT_ALLOWED);\n\t\treturn 0;',
    to: 'cube_count(c, &counters, COUNT_ALLOWED);',
  },
  {
    what: 'an ICMP error is judged by the sender of what it quotes',
    file: CHECK,
    from: 'source_lookup(packet_src(w), v4, has)',
    to: 'source_lookup(&w->tuple.src, v4, has)',
  },
  {
    what: 'prefixes of destinations are only looked at where there are some of the other family',
    file: CHECK,
    from: 'has & (v4 ? HAS_DESTINATION_PREFIXES_V4 : HAS_DESTINATION_PREFIXES_V6)',
    to: 'has & (v4 ? HAS_DESTINATION_PREFIXES_V6 : HAS_DESTINATION_PREFIXES_V4)',
  },
  {
    what: 'each address of IPv6 has a bucket',
    file: CHECK,
    from: 'source.halves[1] = 0;',
    to: 'source.halves[1] = source.halves[1];',
  },
  {
    what: 'IPv4 sources share one bucket',
    file: CHECK,
    from: '\t\tif (!v4)\n\t\t\tsource.halves[1] = 0;',
    to: '\t\tsource.halves[1] = 0;',
  },
  {
    what: 'SYN-ACKs are SYNs',
    file: CHECK,
    from: '(w->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN',
    to: '(w->tcp_flags & (TCP_SYN | TCP_RST)) == TCP_SYN',
  },
  {
    what: 'SYNs are counted by their source port',
    file: CHECK,
    from: '.port = w->tuple.dport',
    to: '.port = w->tuple.sport',
  },
  {
    what: 'the rate of a source is that of a destination',
    file: CHECK,
    from: 'addr_t source = *packet_src(w);',
    to: 'addr_t source = *packet_dst(w);',
  },
  {
    what: 'a new bucket has a token too many',
    file: CHECK,
    from: 'u64 full = now + interval;',
    to: 'u64 full = now;',
  },
  {
    what: 'a dry run takes a token',
    file: CHECK,
    from: 'if (cube_is_dry(c)) {',
    to: 'if (false) {',
  },
  {
    what: 'a bucket that was full long ago has saved tokens up',
    file: 'include/token-bucket.h',
    from: '(full < now ? now : full) + interval',
    to: 'full + interval',
  },
  {
    what: 'what comes from inside is checked too',
    file: CHECK,
    from: '\tif (c->port != OUTSIDE)\n\t\treturn cube_output(c, OUTSIDE);\n',
    to: '',
  },
  {
    what: 'an IPv4 source that its cache line does not tell of is unlisted',
    file: CHECK,
    from: 'has_hosts = said == V4_ELSEWHERE;',
    to: 'has_hosts = false;',
  },
];

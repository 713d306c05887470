// SPDX-License-Identifier: Apache-2.0
import type { Bug } from './planted.ts';

const calls = 'socket-lb/calls.h';
const choose = 'socket-lb/choose.h';

/** Mistakes that a socket load balancer's author might make. */
export const SOCKET_BUGS: readonly Bug[] = [
  {
    what: 'sockets of pods are balanced in scope Host, too',
    file: 'include/cube-cgroup.h',
    from: 'return !only_netns || bpf_get_netns_cookie(ctx) == only_netns;',
    to: 'return true;',
  },
  {
    what: 'a backend that is gone keeps its unconnected sockets',
    file: 'include/backend.h',
    from: 'if (unlikely(b->deadline) && (s32)(now - b->deadline) >= 0)',
    to: 'if (false)',
  },
  {
    what: 'a socket that is not connected stays with a backend that its service has left',
    file: calls,
    from: ' && !may_stay(f, b, flow->backend))',
    to: ' && !may_stay(f, b, flow->backend) && !b)',
  },
  {
    what: 'all network namespaces are one client',
    file: choose,
    from: '.netns = bpf_get_netns_cookie(ctx),',
    to: '.netns = 0,',
  },
  {
    what: 'an affinity leads to a backend that another frontend has',
    file: choose,
    from: ' || !is_among(*(volatile u64 *)&f->segment, id))',
    to: ')',
  },
  {
    what: 'a backend that stands for another service on the socket is picked though there are others',
    file: choose,
    from: '\treturn is_taken(key, c);',
    to: '\treturn 0;',
  },
  {
    what: 'the first backend gets all',
    file: choose,
    from: 'u32 hash = bpf_get_prandom_u32(), size',
    to: 'u32 hash = 0, size',
  },
  {
    what: 'a socket that moves on to the address of its backend is still called one of the service',
    file: calls,
    from: '\t\tforget_peer_at(ctx, to);\n',
    to: '',
  },
  {
    what: 'another backend of a flow leaves the first one its address',
    file: calls,
    from: '\t\tkey.place = c.backend;\n',
    to: '\t\tif (!flow)\n\t\t\tkey.place = c.backend;\n',
  },
  {
    what: 'a connect that fails takes the name of the service from the peer',
    file: calls,
    from: '\tif (reason)\n\t\treturn fail_for(f, reason);\n\tpeer.frontend',
    to: '\tif (reason && sk)\n\t\tbpf_sk_storage_delete(&peers, sk);\n\tif (reason)\n\t\treturn fail_for(f, reason);\n\tpeer.frontend',
  },
  {
    what: 'an IPv6 socket that is connected to IPv4 asks again for each datagram',
    file: calls,
    from: 'if (!f || is_to_peer(ctx, to))',
    to: 'if (!f)',
  },
];

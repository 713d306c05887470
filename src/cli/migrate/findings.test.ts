// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { NodeSurvey } from '../../dataplane/survey.ts';
import { type CheckInput, findingsOf, isReady } from './findings.ts';

const device = (name: string, more: Partial<NodeSurvey['devices'][number]> = {}) => ({
  name,
  kind: '',
  up: true,
  addresses: [],
  ...more,
});
const CLEAN: NodeSurvey = {
  kernel: { release: '6.18.2-amd64', features: ['BTF', 'TCX'] },
  hasBpffs: true,
  hasCgroup: true,
  uplink: 'eth0',
  devices: [
    device('lo'),
    device('eth0'),
    device('tunl0', { up: false }),
    device('cubevxlan', { vxlanPort: 4789 }),
  ],
  programs: [],
  cniConfigs: [{ path: '/etc/cni/net.d/05-cubeplane.conflist', types: ['cubeplane-cni'] }],
  proxies: [],
  rules: {
    chains: ['ip nat/PREROUTING', 'ip filter/KUBE-FIREWALL', 'ip mangle/KUBE-KUBELET-CANARY'],
    ipvsServices: 0,
  },
  parameters: { 'ipv4.ip_forward': 1, 'ipv6.conf.all.forwarding': 1, 'ipv4.conf.all.rp_filter': 0 },
  problems: [],
};
const input = (survey: Partial<NodeSurvey>, more: Partial<CheckInput> = {}): CheckInput => ({
  survey: { ...CLEAN, ...survey },
  vxlanPort: 4789,
  pods: undefined,
  podCIDRs: ['10.244.1.0/24', 'fd00:244:0:1::/64'],
  plugged: [],
  ...more,
});
const told = (...args: Parameters<typeof input>) =>
  findingsOf(input(...args)).map(
    ({ severity, reason, object, message }) => `${severity} ${reason} ${object}: ${message}`,
  );

test('a node with nothing but what kubelets and Cubeplane make is ready', () => {
  expect(told({})).toEqual([]);
  expect(isReady([])).toBe(true);
});

test.each([
  ['Calico', { cniConfigs: [{ path: '10-calico.conflist', types: ['calico', 'bandwidth', 'portmap'] }] }],
  ['Cilium', { cniConfigs: [{ path: '05-cilium.conflist', types: ['cilium-cni'] }] }],
  ['Flannel', { cniConfigs: [{ path: '10-flannel.conflist', types: ['flannel', 'portmap'] }] }],
  ['Weave', { cniConfigs: [{ path: '10-weave.conflist', types: ['weave-net', 'portmap'] }] }],
  ['bridge', { cniConfigs: [{ path: '10-kuberouter.conflist', types: ['bridge'] }] }],
  ['another network', { cniConfigs: [{ path: '1.conf', types: ['nobody-knows'] }] }],
])('a configuration of %s', (name, survey) => {
  expect(told(survey)).toEqual([expect.stringMatching(`^Remove ForeignCNIConfig .*: ${name} \\(`)]);
});

test.each([
  ['cali0123456789a', 'Calico'],
  ['vxlan.calico', 'Calico'],
  ['tunl0', 'Calico or kube-router'],
  ['cilium_host', 'Cilium'],
  ['lxc0a1b2c3d', 'Cilium'],
  ['flannel.1', 'Flannel'],
  ['flannel-v6.1', 'Flannel'],
  ['weave', 'Weave'],
  ['kube-bridge', 'kube-router'],
  ['cni0', 'bridge'],
  ['kube-ipvs0', 'kube-proxy'],
])('the device %s is of %s', (name, network) => {
  const devices = [device('eth0'), device(name, { addresses: ['10.244.1.1'] })];
  expect(told({ devices })).toEqual([
    expect.stringMatching(`^Remove ForeignDevice ${name}: of ${network}.*10.244.1.1`),
  ]);
});

test('kube-proxy: its process and what it leaves in each mode', () => {
  expect(told({ proxies: [42] })).toEqual([expect.stringContaining('Remove KubeProxyRunning process 42')]);
  for (const chain of [
    'ip nat/KUBE-SERVICES',
    'ip6 kube-proxy/services',
    'iptables-legacy-save KUBE-SVC-ABC',
  ])
    expect(told({ rules: { chains: [chain], ipvsServices: 0 } })).toEqual([
      `Remove KubeProxyRules netfilter: rules of kube-proxy: 1 chains, as ${chain}`,
    ]);
  expect(told({ rules: { chains: [], ipvsServices: 3 } })).toEqual([
    expect.stringContaining('rules of kube-proxy: 3 services of IPVS'),
  ]);
});

test('chains of other networks are told by network', () => {
  const chains = [
    'ip filter/cali-INPUT',
    'ip filter/cali-FORWARD',
    'ip nat/FLANNEL-POSTRTG',
    'ip nat/KUBE-ROUTER-SNAT',
    'ip nat/CNI-DN-1234',
    'ip nat/CNI-0123abc',
  ];
  expect(told({ rules: { chains, ipvsServices: 0 } })).toEqual([
    expect.stringContaining('2 chains of Calico, as ip filter/cali-INPUT'),
    expect.stringContaining('1 chains of Flannel'),
    expect.stringContaining('1 chains of kube-router'),
    expect.stringContaining('1 chains of portmap'),
    expect.stringContaining('1 chains of bridge'),
  ]);
});

test('what blocks: the kernel, cgroup2, and the port of the overlay', () => {
  const kernel = { release: '6.12.9', features: [] };
  expect(told({ kernel, hasCgroup: false, hasBpffs: false })).toEqual([
    'Blocks KernelTooOld kernel: Linux 6.12.9; programs need 6.16',
    'Blocks NoBTF kernel: there is no /sys/kernel/btf/vmlinux',
    'Note NoBpffs kernel: no BPF file system is mounted at /sys/fs/bpf',
    expect.stringContaining('Blocks NoCgroup2'),
  ]);
  const devices = [device('vxlan0', { kind: 'vxlan', vxlanPort: 4789 })];
  expect(told({ devices })).toEqual([
    expect.stringContaining('Blocks VxlanPortInUse vxlan0: it has UDP port 4789'),
  ]);
  expect(told({ devices }, { vxlanPort: 4790 })).toEqual([]);
});

test('notes alone leave a node ready', () => {
  const survey = {
    parameters: { 'ipv4.ip_forward': 0, 'ipv4.conf.all.rp_filter': 1 },
    problems: ['rules could not be read'],
    programs: [{ device: 'eth0', hook: 'XDP', name: 'watcher' }],
    uplink: undefined,
  };
  const findings = findingsOf(input(survey));
  expect(findings.map(({ reason }) => reason)).toEqual([
    'NoUplink',
    'ForeignProgram',
    'ForwardingOff',
    'ReversePathFilter',
    'NotLookedAt',
  ]);
  expect(isReady(findings)).toBe(true);
  expect(told({ programs: [{ device: 'eth0', hook: 'tcx ingress', name: 'cil_from_netdev' }] })).toEqual([
    expect.stringContaining('Remove ForeignProgram eth0: the program cil_from_netdev at tcx ingress'),
  ]);
});

test('pods that are not plugged are to be restarted; those of the node and ended ones are not', () => {
  const pod = (name: string, address: string, more: object = {}) => ({
    namespace: 'default',
    name,
    hostNetwork: false,
    ended: false,
    addresses: [address],
    ...more,
  });
  const pods = [
    pod('plugged', '10.244.1.5'),
    pod('other', '10.244.1.6'),
    pod('elsewhere', '192.168.7.9'),
    pod('host', '198.18.0.12', { hostNetwork: true }),
    pod('over', '10.244.1.7', { ended: true }),
    pod('waiting', '', { addresses: [] }),
  ];
  expect(told({}, { pods, plugged: ['10.244.1.5'] })).toEqual([
    'Restart PodOfOtherNetwork default/other: it has its network from elsewhere (10.244.1.6)',
    'Restart PodOfOtherNetwork default/elsewhere: it has its network from elsewhere (192.168.7.9, outside of the podCIDRs of the node)',
  ]);
});

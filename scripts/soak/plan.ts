// SPDX-License-Identifier: Apache-2.0

/** Test files that `npm run soak` runs, with the counts that take too long for every run of `npm test`. */
export interface Soak {
  readonly name: string;
  readonly what: string;
  /** Project of jest, a part of `npm test`. */
  readonly part: 'unit' | 'kernel' | 'netns' | 'e2e';
  readonly files: readonly string[];
  /** What the tests read their counts from. */
  readonly env: Readonly<Record<string, string>>;
  /** How often the files run; random tests take another seed each time. */
  readonly times: number;
}

/** Ten million random packets through a program and through its model. */
const fuzz = (name: string): Soak => ({
  name: `fuzz-${name}`,
  what: `ten million random packets through ${name} and through its model: the same verdicts, bytes, counters and sessions`,
  part: 'kernel',
  files: [`test/kernel/fuzz-${name}.test.ts`],
  env: { CUBEPLANE_FUZZ_PACKETS: '10000000', CUBEPLANE_FUZZ_STRETCH: '10000', CUBEPLANE_PLANTED: 'all' },
  times: 1,
});

const FUZZED = [
  'rewrite',
  'router',
  'load-balancer',
  'nat',
  'firewall',
  'ddos-mitigator',
  'bridge',
  'forwarder',
  'mirror',
  'rate-limiter',
];

export const SOAKS: readonly Soak[] = [
  ...FUZZED.map(fuzz),
  {
    ...fuzz('flow-cache'),
    what: 'two and a half million random packets through two chains, one of which has the flow cache: the same verdicts, bytes and counters',
  },
  {
    name: 'sockets',
    what: 'half a million random calls of real sockets, TCP and UDP, between random changes of Services: what each process meets, and what is counted, is what a model of the socket load balancer allows',
    part: 'kernel',
    files: ['test/kernel/fuzz-sockets.test.ts'],
    env: { CUBEPLANE_FUZZ_CALLS: '500000', CUBEPLANE_PLANTED: 'all' },
    times: 1,
  },
  {
    name: 'random',
    what: 'random histories: plans, images of cubes, packed tables, codecs, translators',
    part: 'unit',
    files: [
      'src/dataplane/plan.test.ts',
      'src/cubes/',
      'src/operators/service.test.ts',
      'src/k8s/json-items.test.ts',
    ],
    env: {},
    times: 20,
  },
  {
    name: 'kills',
    what: 'agents killed at any moment, under TCP and ping load on both nodes: nothing lost, the next plan is empty',
    part: 'netns',
    files: ['test/netns/properties.test.ts'],
    env: { CUBEPLANE_KILLS: '100', CUBEPLANE_REWIRINGS: '1' },
    times: 2,
  },
  {
    name: 'rewirings',
    what: 'revisions of the running chain under the same load: nothing lost, no packet on half a graph',
    part: 'netns',
    files: ['test/netns/properties.test.ts'],
    env: { CUBEPLANE_KILLS: '1', CUBEPLANE_REWIRINGS: '1000' },
    times: 2,
  },
  {
    name: 'splices',
    what: 'chains of one to three cubes, a Firewall first, put into links and next to endpoints and taken out, under the same load: nothing lost, a pod that is refused never gets through, neighbours untouched, nothing leaked',
    part: 'netns',
    files: ['test/netns/splice.test.ts'],
    env: { CUBEPLANE_SPLICES: '1000' },
    times: 1,
  },
  {
    name: 'cni',
    what: 'CNI ADDs killed at any moment: nothing left after GC',
    part: 'netns',
    files: ['test/netns/cni-faults.test.ts'],
    env: { CUBEPLANE_CNI_KILLS: '1000' },
    times: 1,
  },
  {
    name: 'cni-churn',
    what: 'pods added and deleted by CNI, 25 at once, while a Service is scaled: no address, device, row, pin or file is left',
    part: 'netns',
    files: ['test/netns/cni-churn.test.ts'],
    env: { CUBEPLANE_CNI_CHURN: '500' },
    times: 1,
  },
  {
    name: 'swaps',
    what: 'programs of running cubes swapped under the same load, in one of eight rounds by a release: no packet or session lost, nobody let through, nothing leaked',
    part: 'netns',
    files: ['test/netns/swap.test.ts'],
    env: { CUBEPLANE_SWAPS: '1000' },
    times: 1,
  },
  {
    name: 'upgrades',
    what: 'agents of both nodes of the provider replaced by those of the commit before and back, all programs with them, under load through pods, Services, node ports and NAT: no connection lost or refused, pods come and go with each',
    part: 'netns',
    files: ['test/netns/upgrade.test.ts'],
    env: { CUBEPLANE_UPGRADES: '25' },
    times: 1,
  },
  {
    name: 'flood',
    what: 'established connections through a balancer, a NAT and a firewall under forged SYNs and datagrams, ten times the tables of unconfirmed sessions: none lost',
    part: 'netns',
    files: ['test/netns/flood.test.ts', 'test/netns/floods.test.ts'],
    env: { CUBEPLANE_FLOOD_FLOWS: '8192' },
    times: 3,
  },
  {
    name: 'rules',
    what: '5,000 rules of a firewall replaced under load: nothing lost, nothing wrongly passed',
    part: 'netns',
    files: ['test/netns/firewall.test.ts'],
    env: { CUBEPLANE_REPLACEMENTS: '100', CUBEPLANE_RULES: '4900' },
    times: 1,
  },
  {
    name: 'network-policy',
    what: 'a truth table of NetworkPolicy and ClusterNetworkPolicy: 360 changes of policies and labels, each probed by every pod of two nodes with real connections, of both families',
    part: 'e2e',
    files: ['test/e2e/policy-table.test.ts'],
    env: { CUBEPLANE_POLICY_CASES: '360' },
    times: 1,
  },
  {
    name: 'crash',
    what: 'the agent killed after each single action, and refused by the kernel at each',
    part: 'kernel',
    files: ['test/kernel/agent-crash.test.ts', 'test/kernel/agent-errors.test.ts'],
    env: {},
    times: 10,
  },
  {
    name: 'mutations',
    what: 'random changes of valid manifests: the API server and our validators say the same',
    part: 'e2e',
    files: ['test/e2e/api.test.ts'],
    env: { CUBEPLANE_MUTATIONS: '4000' },
    times: 1,
  },
  {
    name: 'operator',
    what: 'the operator killed, its leader handed over, objects changed behind its back',
    part: 'e2e',
    files: ['test/e2e/operator.test.ts', 'test/e2e/operator-runtime.test.ts'],
    env: {},
    times: 5,
  },
  {
    name: 'failover',
    what: 'a node that answers for the addresses of a load balancer loses agent, kubelet and cable: another one answers after the time that the operator has by default',
    part: 'e2e',
    files: ['test/e2e/light-cluster.test.ts'],
    env: { CUBEPLANE_AGENT_TIMEOUT: '40' },
    times: 1,
  },
  {
    name: 'cluster-life',
    what: 'the life of a cluster with kubelets under load: a Deployment scaled 1, 50, 1, agents restarted, upgraded and taken back, a node drained and booted: nothing lost, nothing left',
    part: 'e2e',
    files: ['test/e2e/real-cluster.test.ts'],
    env: { CUBEPLANE_CLUSTER_PODS: '50' },
    times: 3,
  },
  {
    name: 'scaling',
    what: 'a Service scaled 4, 1, 0, 4 under load by kubectl, and a dead agent: no request fails but those to nobody',
    part: 'e2e',
    files: ['test/e2e/system.test.ts'],
    env: {},
    times: 10,
  },
  {
    name: 'conformance',
    what: "upstream's tests of networking on a cluster with three real nodes: at least 210 pass, none fails, and each that is not run has its reason",
    part: 'e2e',
    files: ['test/e2e/conformance.test.ts'],
    env: { CUBEPLANE_CONFORMANCE: 'all' },
    times: 1,
  },
];

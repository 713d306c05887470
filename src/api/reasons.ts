// SPDX-License-Identifier: Apache-2.0
/** Reasons of the conditions, each with what it means. Names in PascalCase; never reused for another meaning. */

export const ACCEPTED_REASONS = {
  Accepted: 'The object is understood.',
  Pending: 'Nobody has looked at it yet.',
  Invalid: 'The object contradicts the schema or its rules; the message names the field.',
  NotSupported: 'The schema allows it, but this release does not do it; the message names the field.',
  Conflict: 'It contradicts another object; the message names the one to change.',
  PortLinkedTwice: 'Two links end at the same port of a cube.',
  InterfaceTaken: 'Another Terminating chain or link owns the interface.',
  EndpointTaken: 'Another link already ends at the pods, the overlay or the stack of the node.',
  UnknownPort: 'The cube has no port of that name and cannot have another one.',
  TooManyPorts: 'The links give the cube more ports than its type can have.',
  MissingPort: 'A port that the type needs is neither linked nor listed.',
  XDPNotAtInterface:
    'A cube at the XDP hook is linked to something else than an interface, a cube behind it or the Stack.',
  XDPOnPods: 'A cube at the XDP hook is linked to pods.',
  LinkCycle: 'The links form a loop that packets would follow for ever.',
  AddressConflict: 'Two ports have the same address, or overlapping prefixes.',
  WrongNode: 'It is for another node than the one whose agent found it.',
  SctpPortChange: 'A backend of an SCTP service listens on another port than the service.',
  KernelFeatureMissing: 'The kernel of the node lacks a feature that it needs.',
  NotSpliceable:
    'A cube of its type, or a link of that kind, cannot be part of a splice; the message says why.',
  NotAPath: 'The links of a Transparent chain are no line of cubes from its head to Next.',
  UnknownVariable: 'A variable stands in a text that the node cannot resolve.',
  InvalidAddress: 'A text is no address of a port; the message names the field.',
  DuplicateAddress: 'An address stands there twice.',
  InvalidRoute: 'A route contradicts itself; the message names the field.',
  NextHopUnreachable: 'No port of the router has a prefix that holds the gateway of a route.',
  NoOverlay: 'A route goes through a tunnel, and no port of the router is linked to the overlay.',
  InvalidNeighbour:
    'A port or neighbour of a router cannot be what neighbours says of it; the message says why.',
  DuplicateRoute: 'Two routes have the same destination.',
  TooManyRoutes: 'There are more routes than the router can hold.',
  InvalidRule: 'A rule of a firewall contradicts itself; the message names the field.',
  RuleMatchesNothing: 'No packet can match a rule of a firewall; the message says why.',
  TooManyRules: 'There are more rules than the firewall has room for.',
  TooManyLimits: 'There are more limits than the rate limiter has room for.',
  NoOutsideAddress: 'A rule of a NAT translates to an address that the port outside does not have.',
  UnknownAddress: 'A rule names an address that is none of the port outside.',
  RuleTakesNothing: 'A rule contradicts itself, so that it takes no packet.',
  PortsOverlap: 'A forward rule is for ports that sessions of the NAT claim.',
  NotAtInterface: 'A port that must be linked to an Interface is linked to something else.',
  TableUnused: 'The cube selects a table that it does not look at as it is configured.',
  InvalidTarget: 'The target of a forward rule is no address of a server on the inside.',
} as const;

export const RESOLVED_REASONS = {
  ResolvedRefs: 'Everything that it names exists and fits.',
  Pending: 'Nobody has looked at it yet.',
  CubeNotFound: 'A link names a cube that does not exist in its namespace.',
  CubeOnOtherNode: 'A link names a cube of another node.',
  CubeNotAccepted: 'A link names a cube that is not accepted.',
  InterfaceNotFound: 'The node has no such interface.',
  CgroupNotFound: 'The node has no directory of cgroup2 that the cube could be attached to.',
  ForeignXDPProgram: 'The interface has an XDP program of somebody else, which is not replaced.',
  UplinkNotFound:
    'The node has no default route, and no interface with an address of its Node object, so $(node.uplink) stands for nothing.',
  LinkNotFound: 'The link that a chain is to be spliced into does not exist.',
  NothingNext: 'A chain is to be spliced in where no Terminating chain ends.',
  RefNotPermitted: 'The link belongs to another namespace, which does not let chains of this one in.',
  NodeNotFound: 'There is no such node.',
  TableNotFound: 'No table matches the selection yet.',
  TableInvalid: 'A table that it selects cannot be used; the message names it.',
  RouteConflict: 'Two tables give a destination different routes; conditions show it under TableInvalid.',
  SlicesIncomplete: 'Some slices of a revision of a table have not arrived.',
} as const;

export const PROGRAMMED_REASONS = {
  Programmed: 'The kernel holds it.',
  Pending: 'Nobody has looked at it yet.',
  NotAccepted: 'It is not accepted, so the kernel is left as it was.',
  RefsNotResolved: 'It names something that is missing, so the kernel is left as it was.',
  WaitingForCommit: 'The commit record does not name this revision yet.',
  WaitingForMembers: 'Members of the committed revision have not arrived.',
  NotPermitted: 'The agent may not do it: a capability is missing.',
  ObjectMissing: 'The object file of the program is not there.',
  ProgramRefused: "The kernel's verifier refused the program.",
  MapFull: 'A map cannot hold all rows.',
  BpffsNotMounted: 'The BPF file system is not mounted.',
  InterfaceGone: 'The interface disappeared.',
  ForeignXDPProgram: 'The interface has an XDP program of somebody else, which is not replaced.',
  KernelError: 'The kernel refused a change; the message holds the call and the error.',
  AbiMismatch: 'The pins on the node belong to another version of the cube ABI.',
  MtuTooLarge: 'Pods would send larger packets than the way out allows.',
  MassDisappearance:
    'Many objects or tables disappeared at once, so the last state stays; the message says how to let them go.',
  AgentUnreachable: 'The agent of the node has not renewed its lease.',
} as const;

export const READY_REASONS = {
  Ready: 'Packets pass.',
  PolicyAudit:
    'Packets pass, also those that network policies refuse; the message says which are in audit mode.',
  Pending: 'Nobody has looked at it yet.',
  NotAccepted: 'It is not accepted.',
  RefsNotResolved: 'It names something that is missing.',
  NotProgrammed: 'The kernel does not hold it.',
  PortDown: 'A port is down; the status names it.',
  NodesNotReady: 'It is not ready on some of its nodes.',
  NoNodes: 'Its target selects no node.',
  AgentUnreachable: 'The agent of the node has not renewed its lease.',
} as const;

export const RECONCILING_REASONS = {
  Progressing: 'Work towards the newest generation is under way.',
  RollingOut: 'A revision is on its way to the nodes.',
} as const;

export const STALLED_REASONS = {
  NotAccepted: 'Somebody has to change the object.',
  RefsNotResolved: 'Somebody has to make what is missing.',
  NotProgrammed: 'Somebody has to help the kernel; the message says how.',
} as const;

/** Reasons by condition, as the reference lists them. */
export const CONDITION_REASONS = {
  Accepted: ACCEPTED_REASONS,
  ResolvedRefs: RESOLVED_REASONS,
  Programmed: PROGRAMMED_REASONS,
  Ready: READY_REASONS,
  Reconciling: RECONCILING_REASONS,
  Stalled: STALLED_REASONS,
} as const;

export type AcceptedReason = keyof typeof ACCEPTED_REASONS;
export type ResolvedReason = keyof typeof RESOLVED_REASONS;
export type ProgrammedReason = keyof typeof PROGRAMMED_REASONS;
export type ReadyReason = keyof typeof READY_REASONS;

/** Reasons why a manifest is refused before it becomes an object; a CEL rule's own reason stands in its schema. */
export const MANIFEST_REASONS = {
  Syntax: 'The text is no YAML or JSON.',
  DuplicateObject: 'The same object stands in the directory twice.',
  InvalidPrefix: 'A line of a prefix file is no prefix.',
  FileNotFound: 'A prefix file that a table names is not there.',
  NotAnObject: 'The document is not a mapping.',
  UnknownVersion: 'The apiVersion is not one that this release reads.',
  UnknownKind: 'The kind does not belong to the API group.',
  NameMissing: 'metadata.name is missing.',
  NameInvalid: 'metadata.name is not a DNS subdomain.',
  NamespaceInvalid: 'metadata.namespace is not a DNS label.',
  LabelInvalid: 'A label or annotation is not text, or too long, or has a forbidden character.',
  UnknownField: 'A field that the kind does not have.',
  FieldMissing: 'A field that must be there.',
  WrongType: 'A value of another type than the field has.',
  NotOneOf: 'A value that is not in the list of allowed ones.',
  OutOfRange: 'A number below or above its bounds.',
  LengthOutOfRange: 'A text that is too short or too long.',
  TooFewOrMany: 'A list or map with too few or too many elements.',
  WrongFormat: 'A text that does not fit the pattern of the field.',
  DuplicateItem: 'Two elements of a list are equal, or have the same key.',
} as const;

/** Reasons of NetworkUnavailable, a condition of Kubernetes' own Node, that the operator gives. */
export const NETWORK_REASONS = {
  ChainProgrammed:
    'The kernel of the node holds a chain that leads to its pods; NetworkUnavailable is False.',
  ChainNotProgrammed:
    'A member of the chain that leads to the pods is not in the kernel; the message names it.',
  NoChain: 'No chain leads to the pods of the node any more.',
} as const;

/** Reasons of events about a Service, EndpointSlice, Node, Pod or NetworkPolicy of which a part cannot be translated. */
export const TRANSLATION_REASONS = {
  InvalidAddress: 'A text is no IP address, or no address of a host.',
  InvalidPort: 'A number is no port.',
  InvalidCIDR: 'A text is no prefix.',
  NotSupported: 'Kubernetes allows it, but this release does not do it.',
  TooMany: 'There are more elements than a table can hold.',
  MissingField: 'A field is not set that the translation needs.',
  Duplicate: 'The same thing stands there twice.',
  InvalidSelector: 'A label selector cannot be understood.',
  InvalidRange: 'A range of an address pool contradicts itself.',
  PoolNotFound: 'A Service names an address pool that is not there.',
  AddressNotInPool: 'An address that a Service has, or asks for, is in no address pool.',
  AddressTaken: 'An address that a Service asks for belongs to somebody else.',
  NotAnnounced: 'No node can answer for the addresses of a Service.',
  AddressesExhausted: 'No address pool has a free address for a Service.',
  InvalidPeer: 'An entry of a policy does not say who is on the other side.',
} as const;

/** Reasons of events about the addresses of a Service of type LoadBalancer. */
export const ADDRESS_REASONS = {
  AddressAssigned: 'It has addresses of a pool; the note lists them.',
  AddressReleased: 'Its addresses went back to the pool.',
  Announced: 'A node answers for its addresses, or another one than before; the note names it.',
} as const;

/** Reasons of events about a ServiceChain that the operator's installation brings. */
export const PROVIDER_REASONS = {
  ProviderConflict:
    'Somebody else has set fields of it that the files of the operator set otherwise; they stay. Change the files, or the chain.',
} as const;

export type ManifestReason = keyof typeof MANIFEST_REASONS;

/** Where a path that `cubeplane connectivity test` tried ends, if no drop reason says it. */
export const PLACE_REASONS = {
  BetweenNodes: 'The chains of both nodes let it pass: what is between them loses it.',
  LeftToHost: "It went to the node's own stack: its firewall, or nobody listens.",
  SentAway: 'It went to something that is no node of the test.',
  Delivered: 'The chain gave it to the pod: look at the program there.',
  AgentNotReached: 'The agent of that node could not be asked.',
  Unknown: 'Events of the trace were lost.',
} as const;

/** What `cubeplane migrate check` finds on a node. */
export const FINDING_REASONS = {
  KernelTooOld: 'The kernel is older than what programs of cubes need.',
  NoBTF: 'The kernel does not tell its types (BTF).',
  NoBpffs: 'No BPF file system is mounted where the agent pins.',
  NoCgroup2: 'There is no directory of cgroup2 for the cubes at sockets.',
  NoUplink: 'The node has no default route, and no interface with an address of its Node object.',
  VxlanPortInUse: 'Somebody else has the UDP port of the tunnel.',
  ForeignCNIConfig: 'The runtime has a network configuration of another network.',
  KubeProxyRunning: 'kube-proxy runs.',
  KubeProxyRules: 'Rules of kube-proxy are in the kernel.',
  ForeignRules: 'Rules of another network are in the kernel.',
  ForeignDevice: 'A device is that of another network.',
  ForeignProgram: 'Somebody else has a program at an interface.',
  ForwardingOff: 'The node does not forward packets.',
  ReversePathFilter: 'The reverse path filter is strict.',
  PodOfOtherNetwork: 'A pod has its network from somebody else: it has to be started again.',
  NotLookedAt: 'Something could not be looked at; the message says why.',
} as const;

// SPDX-License-Identifier: Apache-2.0
/**
 * What a firewall does with a frame, written from its schema and reference page, docs/cube-abi.md and the RFCs that the
 * models below it name. It shares no code with src/cubes/firewall or bpf/firewall.
 *
 * It leaves out: sessions that make room for others (tables are large here), and the second in which a time-out ends.
 */
import type { FirewallRule } from '../../../src/api/generated/types.ts';
import { AnswerLimit, errorOf, resetOf } from './answer-model.ts';
import type { Direction, RuleModel, RulePacket, State } from './firewall-rule-model.ts';
import { FlowModel, keyOf, reversed, type Tuple } from './flow-model.ts';
import { type Parsed, ParseModel } from './parse-model.ts';
import {
  ModelSession,
  openingOf,
  type Segment,
  type Side,
  segmentOf,
  type Timeouts,
} from './session-model.ts';

type Action = FirewallRule['action'];

export interface ModelFirewall {
  readonly defaults: Readonly<Record<Direction, Action>>;
  readonly logsDefaults: boolean;
  readonly isStrict: boolean;
  readonly passesOthers: boolean;
  readonly rejects: { readonly perSecond: number; readonly burst: number };
  readonly timeouts: Timeouts;
}

export interface KnownSession {
  readonly tuple: Tuple;
  readonly session: ModelSession;
  /** Its first packet: changed rules are asked about that. */
  readonly first: RulePacket;
  /** Undefined: the default action. */
  rule: FirewallRule | undefined;
  generation: string;
}

export interface Log {
  readonly action: Action;
  readonly rule: FirewallRule | undefined;
}

export interface Verdict {
  /** Undefined: dropped. */
  readonly port?: number;
  readonly frame?: Buffer;
  readonly drop?: string;
  readonly counts: readonly string[];
  readonly logs: readonly Log[];
  /** The rules that decided, and are counted. */
  readonly rules: readonly FirewallRule[];
  /** Keys of sessions that the packet is about. */
  readonly touched?: Tuple;
}

export interface Arrival {
  readonly frame: Buffer;
  readonly from: Side;
  /** What the kernel made of it. */
  readonly actual: { readonly isOut: boolean; readonly frame: Buffer };
}

const PORT: Readonly<Record<Side, number>> = { outside: 0, inside: 1 };
const OTHER: Readonly<Record<Side, Side>> = { outside: 'inside', inside: 'outside' };

const NOTHING = { counts: [], logs: [], rules: [] } as const;

interface Refusal {
  readonly action: Action;
  readonly rule: FirewallRule | undefined;
}

export class FirewallModel {
  readonly parser = new ParseModel();
  readonly sessions = new Map<string, KnownSession>();
  rules: RuleModel;
  /** Seconds that have been let pass. */
  now = 0;
  readonly config: ModelFirewall;
  readonly #flows = new FlowModel(this.parser);
  readonly #limit: AnswerLimit;

  constructor(config: ModelFirewall, rules: RuleModel) {
    this.config = config;
    this.rules = rules;
    this.#limit = new AnswerLimit(config.rejects);
  }

  /** Removes sessions past their time-out. */
  reclaim(): void {
    for (const [key, { session }] of this.sessions) {
      if (session.isOver(this.now, this.config.timeouts)) this.sessions.delete(key);
    }
  }

  decide(arrival: Arrival): Verdict {
    const parsed = this.parser.parse(arrival.frame);
    if (!parsed.ok) return { drop: `entry ${parsed.reason}`, ...NOTHING };
    const { packet } = parsed;
    const { kind, isNeighbourDiscovery } = packet;
    if (kind === 'arp' || isNeighbourDiscovery) return this.#pass(arrival, ['control']);
    if (kind === 'other') {
      return this.config.passesOthers
        ? this.#pass(arrival, ['control'])
        : { drop: 'firewall NotIp', ...NOTHING };
    }
    const tuple = this.#flows.tuple(arrival.frame, packet);
    if (!tuple) return { drop: 'firewall FragmentWithoutFirst', ...NOTHING };
    return new Decision(this, this.#limit, arrival, packet, tuple).verdict();
  }

  #pass({ from, frame }: Arrival, counts: readonly string[]): Verdict {
    return { ...NOTHING, port: PORT[OTHER[from]], frame, counts };
  }
}

class Decision {
  readonly #model: FirewallModel;
  readonly #limit: AnswerLimit;
  readonly #arrival: Arrival;
  readonly #packet: Parsed;
  readonly #tuple: Tuple;
  readonly #key: string;
  readonly #direction: Direction;
  readonly #question: RulePacket;
  readonly #segment: Segment;
  readonly #counts: string[] = [];
  readonly #logs: Log[] = [];
  readonly #rules: FirewallRule[] = [];

  constructor(model: FirewallModel, limit: AnswerLimit, arrival: Arrival, packet: Parsed, tuple: Tuple) {
    this.#model = model;
    this.#limit = limit;
    this.#arrival = arrival;
    this.#packet = packet;
    this.#direction = arrival.from === 'outside' ? 'Ingress' : 'Egress';
    this.#tuple = arrival.from === 'inside' ? tuple : reversed(tuple);
    this.#key = keyOf(this.#tuple);
    this.#segment = segmentOf(arrival.frame, packet);
    const { src, dst, protocol, icmp, isError } = packet;
    const hasPorts = packet.hasPorts && !isError;
    this.#question = {
      ...{ src, dst, protocol, icmp, flags: this.#segment.flags },
      ...(hasPorts ? { sport: tuple.sport, dport: tuple.dport } : {}),
    };
  }

  verdict(): Verdict {
    const known = this.#known();
    if (this.#packet.isError) return known ? this.#aboutKnown(known, 'Related') : this.#invalid();
    if (known && !known.session.isReopenedBy(this.#segment)) return this.#aboutKnown(known, 'Established');
    if (this.#packet.fragment === 'later') return this.#drop('FragmentRefused');
    const opening = openingOf(this.#packet, this.#segment);
    if (opening === 'Invalid' || (opening === 'Midstream' && this.#model.config.isStrict))
      return this.#invalid();
    return this.#new(opening === 'Midstream');
  }

  #known(): KnownSession | undefined {
    const known = this.#model.sessions.get(this.#key);
    if (!known?.session.isOver(this.#model.now, this.#model.config.timeouts)) return known;
    this.#counts.push('expired');
    this.#model.sessions.delete(this.#key);
    return undefined;
  }

  #aboutKnown(known: KnownSession, state: 'Established' | 'Related'): Verdict {
    const { session } = known;
    const refusal = this.#asksAgain(known);
    if (refusal) return this.#refuse(refusal);
    if (state === 'Related') this.#counts.push('related');
    if (this.#model.rules.isAsked(this.#direction, state)) {
      const rule = this.#ask(state);
      if (rule && rule.action !== 'Allow') return this.#refuse({ action: rule.action, rule });
    }
    if (state === 'Related') return this.#pass();
    this.#counts.push('known');
    if (session.see(this.#arrival.from, this.#segment, this.#model.now)) {
      this.#counts.push('promoted');
    }
    return this.#pass();
  }

  /** Rules have changed since a session was let through: they are asked about its first packet. */
  #asksAgain(known: KnownSession): Refusal | undefined {
    const { rules, config } = this.#model;
    if (known.generation === rules.generation) return undefined;
    this.#counts.push('classified');
    const direction = known.session.initiator === 'outside' ? 'Ingress' : 'Egress';
    const rule = rules.find(direction, 'New', known.first);
    const action = rule?.action ?? config.defaults[direction];
    this.#note(action, rule);
    if (action !== 'Allow') {
      this.#counts.push('revoked');
      this.#model.sessions.delete(this.#key);
      return { action, rule };
    }
    this.#counts.push('reclassified');
    known.generation = rules.generation;
    known.rule = rule;
    return undefined;
  }

  #ask(state: State): FirewallRule | undefined {
    this.#counts.push('classified');
    const rule = this.#model.rules.find(this.#direction, state, this.#question);
    if (rule) this.#note(rule.action, rule);
    return rule;
  }

  /** Counts the rule and logs as it says. */
  #note(action: Action, rule: FirewallRule | undefined): void {
    if (rule) this.#rules.push(rule);
    const isLogged = rule ? rule.log : action !== 'Allow' && this.#model.config.logsDefaults;
    if (!isLogged) return;
    this.#counts.push('logged');
    this.#logs.push({ action, rule });
  }

  #invalid(): Verdict {
    if (!this.#model.rules.isAsked(this.#direction, 'Invalid')) return this.#drop('InvalidState');
    const rule = this.#ask('Invalid');
    if (!rule) return this.#drop('InvalidState');
    return rule.action === 'Allow' ? this.#pass() : this.#refuse({ action: rule.action, rule });
  }

  #new(isMidstream: boolean): Verdict {
    const { config, rules, sessions, now } = this.#model;
    const rule = this.#ask('New');
    const action = rule?.action ?? config.defaults[this.#direction];
    if (!rule) this.#note(action, undefined);
    if (action !== 'Allow') return this.#refuse({ action, rule });
    const { protocol } = this.#tuple;
    // ICMP other than echo has nothing by which an answer could be told from others
    if (this.#packet.icmp && !this.#packet.isEcho) return this.#pass();
    this.#counts.push('newSessions');
    sessions.set(this.#key, {
      tuple: this.#tuple,
      session: new ModelSession(protocol, this.#arrival.from, isMidstream, this.#segment, now),
      first: this.#question,
      rule,
      generation: rules.generation,
    });
    return this.#pass();
  }

  #verdict(result: Pick<Verdict, 'port' | 'frame' | 'drop'>): Verdict {
    return {
      ...result,
      counts: this.#counts,
      touched: this.#tuple,
      logs: this.#logs,
      rules: this.#rules,
    };
  }

  #pass(): Verdict {
    return this.#verdict({ port: PORT[OTHER[this.#arrival.from]], frame: this.#arrival.frame });
  }

  #drop(reason: string): Verdict {
    return this.#verdict({ drop: `firewall ${reason}` });
  }

  #refuse({ action, rule }: Refusal): Verdict {
    const reason = `${action === 'Drop' ? 'Dropped' : 'Rejected'}By${rule ? 'Rule' : 'Default'}`;
    if (action === 'Drop') return this.#drop(reason);
    const { frame, actual } = this.#arrival;
    const answered = { frame, packet: this.#packet, actual: actual.frame };
    const isTcp = this.#packet.protocol === 6;
    const [type, code] = this.#packet.v6 ? [1, 1] : [3, 13]; // administratively prohibited
    const answer =
      isTcp && this.#packet.fragment !== 'later' ? resetOf(answered) : errorOf(answered, type, code);
    if (answer === undefined) return this.#drop(reason);
    if (!this.#limit.take(this.#packet.src, actual.isOut)) {
      this.#counts.push('rejectSuppressed');
      return this.#drop(reason);
    }
    this.#counts.push('rejected');
    return this.#verdict({ port: PORT[this.#arrival.from], frame: answer, drop: `firewall ${reason}` });
  }
}

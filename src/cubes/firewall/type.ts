// SPDX-License-Identifier: Apache-2.0

/** The firewall as the agent knows it. */
import type { Firewall } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig, Problem } from '../cube-type.ts';
import { BANKS, capacities, DIRECTIONS } from './compile.ts';
import { constants, maps } from './generated/codec.ts';
import { defaultsOf, FirewallImage } from './image.ts';
import { excess } from './room.ts';
import { TABLES } from './rule-meaning.ts';
import { RuleOrder, readRules } from './rule-order.ts';

/** Seconds in the unit that programs count in, 2^30 ns. */
function coarse(seconds: number): number {
  return Math.max(1, Math.round((seconds * 1e9) / 2 ** 30));
}

/** Of a token bucket: ns between tokens, and how far ahead it may be. */
function bucket({ perSecond, burst }: { perSecond: number; burst: number }) {
  const interval = perSecond === 0 ? 0n : BigInt(Math.floor(1e9 / perSecond));
  return { interval, tolerance: interval * BigInt(burst - 1) };
}

function check(cube: CubeInput<Firewall>): readonly Problem[] {
  const { meanings, problems } = readRules(cube.spec.rules, 'spec.firewall.rules');
  const directions = new RuleOrder(meanings).directions();
  const why = excess(directions, defaultsOf(cube.spec), cube.spec.maxRules);
  if (why !== undefined) {
    const message = `the spec has ${why}; raise spec.firewall.maxRules, or remove rules`;
    problems.push({ reason: 'TooManyRules', field: 'spec.firewall.rules', message });
  }
  return problems;
}

function instance(cube: CubeInput<Firewall>): InstanceConfig {
  const { sessions, rejects, logs, maxRules, handshake, otherFrames, rules, defaultActions, policyMode } =
    cube.spec;
  const { timeouts } = sessions;
  const room = capacities(maxRules);
  return {
    rodata: {
      max_rules: constants.max_rules.encode(maxRules),
      strict_handshake: constants.strict_handshake.encode(handshake === 'Strict' ? 1 : 0),
      pass_other_frames: constants.pass_other_frames.encode(otherFrames === 'Allow' ? 1 : 0),
      reply_limit: constants.reply_limit.encode(bucket(rejects)),
      log_limit: constants.log_limit.encode(bucket(logs)),
      session_timeouts: constants.session_timeouts.encode({
        tcpSyn: coarse(timeouts.tcpSyn),
        tcpEstablished: coarse(timeouts.tcpEstablished),
        tcpClosing: coarse(timeouts.tcpClosing),
        udp: coarse(timeouts.udp),
        udpStream: coarse(timeouts.udpStream),
        sctp: coarse(timeouts.sctp),
        icmp: coarse(timeouts.other),
      }),
    },
    sizes: {
      bitmaps: BANKS * room.bitmaps,
      pages: BANKS * DIRECTIONS * TABLES + BANKS * room.leaves,
      addresses: 2 * BANKS * room.addresses, // rows are added before others leave
      rules: BANKS * DIRECTIONS * maxRules,
      rule_counters: Math.max(256, 4 * maxRules),
      established: sessions.maxEstablished,
      embryonic: sessions.maxEmbryonic,
    },
    config: { rules, defaultActions, maxRules, ...(policyMode === 'Audit' ? { policyMode } : {}) },
  };
}

export const firewall: CubeType<Firewall> = {
  type: 'Firewall',
  member: 'firewall',
  object: 'firewall',
  program: 'firewall',
  layer: 3,
  fixedPorts: { outside: 0, inside: 1 },
  transparent: { outside: 'outside', inside: 'inside' },
  firstNamedPort: 2,
  tableTypes: ['Rule', 'Policy', 'Identity'],
  maps: {
    rule_bank: { class: 'config', writer: 'agent', codec: maps.rule_bank, version: 1 },
    rulesets: { class: 'config', writer: 'agent', codec: maps.rulesets, version: 1 },
    address_lengths: { class: 'config', writer: 'agent', codec: maps.address_lengths, version: 1 },
    addresses: { class: 'config', writer: 'agent', codec: maps.addresses, version: 1 },
    pages: { class: 'config', writer: 'agent', codec: maps.pages, version: 1 },
    bitmaps: { class: 'config', writer: 'agent', codec: maps.bitmaps, version: 1 },
    rules: { class: 'config', writer: 'agent', codec: maps.rules, version: 1 },
    rule_counters: { class: 'state', writer: 'program', codec: maps.rule_counters, version: 1 },
    established: {
      class: 'state',
      writer: 'program',
      codec: maps.established,
      version: 1,
      reclaim: 'reclaim_established',
    },
    embryonic: {
      class: 'state',
      writer: 'program',
      codec: maps.embryonic,
      version: 1,
      reclaim: 'reclaim_embryonic',
    },
    reply_buckets: { class: 'state', writer: 'program', codec: maps.reply_buckets, version: 1 },
    reply_scratch: { class: 'config', writer: 'program', codec: maps.reply_scratch, version: 1 },
    classify_scratch: { class: 'config', writer: 'program', codec: maps.classify_scratch, version: 1 },
  },
  check,
  instance,
  image: (cube, node) => new FirewallImage(cube, node),
};

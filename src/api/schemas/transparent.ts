// SPDX-License-Identifier: Apache-2.0
import type { Rule } from './schema.ts';

/** Rules of a ServiceChain's spec about mode Transparent. Each is silent where another one tells what is wrong. */
export const transparentRules: Rule[] = [
  {
    id: 'LinkTargetNotTransparent',
    cel: "self.mode == 'Transparent' || !has(self.target) || self.target.type != 'Link'",
    message: 'a Terminating chain cannot go into a link',
    remedy: 'set mode to Transparent, or target nodes',
    field: '.mode',
    twin: (self) => self.mode === 'Transparent' || self.target?.type !== 'Link',
  },
  {
    id: 'TransparentWithoutPath',
    cel: "self.mode != 'Transparent' || has(self.path)",
    message: 'a Transparent chain has no path',
    remedy: 'give a path: the endpoint that the chain goes to unless it targets a link, the cubes, Next',
    field: '.path',
    twin: (self) => self.mode !== 'Transparent' || Object.hasOwn(self, 'path'),
  },
  {
    id: 'PathWithoutNext',
    cel: "self.mode != 'Transparent' || !has(self.path) || self.path[self.path.size() - 1].type == 'Next'",
    message: 'the path of a Transparent chain does not end in Next',
    remedy: 'end it with a step of type Next: what comes after this chain',
    field: '.path',
    twin: (self) =>
      self.mode !== 'Transparent' ||
      !Object.hasOwn(self, 'path') ||
      self.path[self.path.length - 1].type === 'Next',
  },
  {
    id: 'NextTwice',
    cel: "self.mode != 'Transparent' || !has(self.path) || self.path.filter(e, e.type == 'Next').size() < 2",
    message: 'Next stands in the path more than once',
    remedy: 'leave it at the end alone; what comes before the chain follows from the target',
    field: '.path',
    twin: (self) =>
      self.mode !== 'Transparent' ||
      !Object.hasOwn(self, 'path') ||
      self.path.filter((e: { type: string }) => e.type === 'Next').length < 2,
  },
  {
    id: 'LinkTargetWithEndpoint',
    cel: "self.mode != 'Transparent' || !has(self.path) || !has(self.target) || self.target.type != 'Link' || self.path.all(e, e.type in ['Cube', 'Next'])",
    message: 'the chain goes into a link, and its path names another endpoint',
    remedy: 'remove the endpoint, or set target.type to Nodes to go to that endpoint',
    field: '.path',
    twin: (self) =>
      self.mode !== 'Transparent' ||
      !Object.hasOwn(self, 'path') ||
      self.target?.type !== 'Link' ||
      self.path.every((e: { type: string }) => e.type === 'Cube' || e.type === 'Next'),
  },
  {
    id: 'PathWithoutEndpoint',
    cel: "self.mode != 'Transparent' || !has(self.path) || (has(self.target) && self.target.type == 'Link') || !(self.path[0].type in ['Cube', 'Next'])",
    message: 'nothing says where the chain goes',
    remedy:
      'begin the path with an endpoint such as Interface or Pods, or set target.type to Link and name a link',
    field: '.path',
    twin: (self) =>
      self.mode !== 'Transparent' ||
      !Object.hasOwn(self, 'path') ||
      self.target?.type === 'Link' ||
      (self.path[0].type !== 'Cube' && self.path[0].type !== 'Next'),
  },
  {
    id: 'EndpointInside',
    cel: "self.mode != 'Transparent' || !has(self.path) || self.path.filter(e, !(e.type in ['Cube', 'Next'])).size() <= (self.path[0].type in ['Cube', 'Next'] ? 0 : 1) || (has(self.target) && self.target.type == 'Link')",
    message: 'an endpoint stands between the cubes of a Transparent chain',
    remedy: 'name one endpoint, as the first step; the chain ends in Next',
    field: '.path',
    twin: (self) => {
      if (self.mode !== 'Transparent' || !Object.hasOwn(self, 'path') || self.target?.type === 'Link')
        return true;
      const isEndpoint = (e: { type: string }) => e.type !== 'Cube' && e.type !== 'Next';
      return self.path.filter(isEndpoint).length <= (isEndpoint(self.path[0]) ? 1 : 0);
    },
  },
  {
    id: 'CubeNotOnceInPath',
    cel: "self.mode != 'Transparent' || !has(self.path) || self.cubes.all(c, self.path.filter(e, e.type == 'Cube' && has(e.cube) && e.cube.name == c.name).size() == 1)",
    message: 'a cube of the Transparent chain is not in its path, or there twice',
    remedy: 'let each cube of spec.cubes be one step of the path',
    field: '.path',
    twin: (self) =>
      self.mode !== 'Transparent' ||
      !Object.hasOwn(self, 'path') ||
      self.cubes.every(
        (c: { name: string }) =>
          self.path.filter((e: { cube?: { name: string } }) => e.cube?.name === c.name).length === 1,
      ),
  },
  {
    id: 'SpliceFromTransparent',
    cel: "self.mode != 'Transparent' || !has(self.spliceFrom)",
    message: 'spliceFrom is for the chain that others go into',
    remedy: 'remove it here and set it in the chain that owns the link',
    field: '.spliceFrom',
    twin: (self) => self.mode !== 'Transparent' || !Object.hasOwn(self, 'spliceFrom'),
  },
];

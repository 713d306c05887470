// SPDX-License-Identifier: Apache-2.0
// A campaign of the mirror, its result as JSON. Runs inside the network namespace with the interfaces for its copies; arguments:
// their ifindexes as JSON, options of the campaign as JSON, another build of the object file or none.
import { campaign } from './campaign.ts';
import { DEVICES, openMirror } from './mirror-subject.ts';
import { Samples } from './samples.ts';
import { Taps } from './taps.ts';

const [ifindexes = '{}', options = '{}', path] = process.argv.slice(2);
const devices = JSON.parse(ifindexes);
const taps = new Taps(DEVICES.filter((name) => name !== 'lost').map((name) => devices[name]));
const seen = new Set<string>();
const samples = new Samples();
const result = await campaign(
  (random) =>
    openMirror(random, {
      devices,
      taps,
      seen,
      samples,
      ...(path === undefined ? {} : { path }),
    }),
  JSON.parse(options),
);
taps.close();
console.log(JSON.stringify({ ...result, seen: [...seen] }));

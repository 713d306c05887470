// SPDX-License-Identifier: Apache-2.0
/** The way of a packet as a tree for people. */
import type { Hop, Story } from '../../dataplane/trace/story.ts';
import type { Colours } from './colours.ts';

export function storyLines(story: Story, paint: Colours, from?: string): string[] {
  const where = from ?? (story.interface === undefined ? '' : `interface ${story.interface}`);
  return [
    `${paint.bold(story.packet)} (${story.length} bytes)${where === '' ? '' : ` from ${where}`}`,
    ...story.hops.flatMap((hop) => hopLines(hop, paint)),
    ...endLines(story, paint),
  ];
}

function hopLines({ cube, type, port, decisions, drop, outputs }: Hop, paint: Colours): string[] {
  return [
    `├─ ${paint.bold(cube)} (${type}), in by port ${port}`,
    ...decisions.map(
      ({ decision, description, object }) =>
        `│     ${decision}: ${object ?? ''}${object === undefined ? description : paint.dim(`  ${description}`)}`,
    ),
    ...(drop === undefined ? [] : [`│     ${paint.red(drop.reason)}: ${drop.description}`]),
    ...outputs.map(({ port: out, packet, to }) => `│     out by port ${out} to ${to}: ${packet}`),
  ];
}

function endLines({ verdict, to, by, drop }: Story, paint: Colours): string[] {
  const colour = verdict === 'Dropped' || verdict === 'Unknown' ? paint.red : paint.green;
  if (verdict === 'Unknown') return [`└─ ${colour('the rest of the way is unknown: events were lost')}`];
  if (verdict === 'Dropped')
    return [
      `└─ ${colour('Dropped')} by ${by}: ${drop?.reason}: ${drop?.description}`,
      ...(drop?.rule === undefined ? [] : [`   By: ${drop.rule.text}`]),
      ...(drop?.remedy ? [`   To do: ${drop.remedy}`] : []),
    ];
  const refused = verdict === 'Answered' ? [`   Refused for ${drop?.reason}: ${drop?.description}`] : [];
  const words = {
    Delivered: 'Delivered to',
    Sent: 'Sent to',
    Host: 'Left to',
    Answered: 'An answer goes to',
  };
  return [
    `└─ ${colour(words[verdict])} ${to}`,
    ...refused,
    ...(refused.length > 0 && drop?.remedy ? [`   To do: ${drop.remedy}`] : []),
  ];
}

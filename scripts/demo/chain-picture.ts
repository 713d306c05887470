// SPDX-License-Identifier: Apache-2.0

interface EndpointLike {
  readonly type: string;
  readonly cube?: { readonly name: string; readonly port: string };
  readonly interface?: { readonly name: string };
}

/** What the picture needs of a CubeLink. */
export interface LinkLike {
  readonly spec: { readonly endpoints: readonly EndpointLike[] };
}

/** What the picture needs of a Cube. */
export interface CubeLike {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly type: string };
}

/**
 * A chain as lines of text: it starts at the pods (else at any end that is no cube), follows the links, and draws each
 * further branch on a line of its own, below the cube that it leaves.
 *
 *     Pods ──pods─[ilb LoadBalancer]─server──pods─[router Router]─overlay── Overlay
 */
export function chainPicture(cubes: readonly CubeLike[], links: readonly LinkLike[]): string[] {
  const left = [...links];
  const lines: string[] = [];
  while (left.length > 0) {
    const start = left.findIndex(({ spec }) => spec.endpoints.some((end) => end.type === 'Pods'));
    const at =
      start >= 0
        ? start
        : Math.max(
            0,
            left.findIndex(({ spec }) => spec.endpoints.some((end) => end.type !== 'Cube')),
          );
    const [link] = left.splice(at, 1);
    const [a, b] = link?.spec.endpoints ?? [];
    if (a === undefined || b === undefined) break;
    const [from, to] = a.type === 'Cube' && b.type !== 'Cube' ? [b, a] : [a, b];
    follow(cubes, left, to, `${endText(from, cubes)} ──`, lines);
  }
  return lines;
}

/** Goes on from `end`, which a link has just reached; `text` is the line so far. */
function follow(
  cubes: readonly CubeLike[],
  left: LinkLike[],
  end: EndpointLike,
  text: string,
  lines: string[],
): void {
  const { cube } = end;
  if (cube === undefined) {
    lines.push(`${text} ${endText(end, cubes)}`);
    return;
  }
  const start = `${text}${cube.port}─`;
  const box = `${start}[${shortName(cube.name)} ${typeOf(cube.name, cubes)}]`;
  let line = box;
  let branches = 0;
  for (;;) {
    const next = left.findIndex(({ spec }) => spec.endpoints.some((one) => one.cube?.name === cube.name));
    if (next < 0) break;
    const [link] = left.splice(next, 1);
    const here = link?.spec.endpoints.find((one) => one.cube?.name === cube.name);
    const there = link?.spec.endpoints.find((one) => one !== here);
    if (here === undefined || there === undefined) break;
    follow(cubes, left, there, `${line}─${here.cube?.port}──`, lines);
    branches += 1;
    line = `${' '.repeat(Math.max(0, box.length - 1))}└`;
  }
  if (branches === 0) lines.push(box);
}

function endText(end: EndpointLike, cubes: readonly CubeLike[]): string {
  if (end.cube !== undefined)
    return `[${shortName(end.cube.name)} ${typeOf(end.cube.name, cubes)}]─${end.cube.port}`;
  return end.interface === undefined ? end.type : `${end.type} ${end.interface.name}`;
}

/** `chain.cube.node` → `cube`. */
function shortName(name: string): string {
  return name.split('.')[1] ?? name;
}

function typeOf(name: string, cubes: readonly CubeLike[]): string {
  return cubes.find((cube) => cube.metadata.name === name)?.spec.type ?? '?';
}

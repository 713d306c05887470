// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { formatElapsed } from '../../test/harness/progress.ts';
import { documentsOf, type Image, NAME, writeArchive } from './archive.ts';
import { billOf } from './bill.ts';
import { collectContents } from './contents.ts';
import { ARCHITECTURE, makeImage } from './image.ts';

const ROOT = join(import.meta.dirname, '../..');
const HELP = `Makes the container image of agent and operator, without a registry and without root.

Usage: npm run images [-- --output DIR] [--name NAME]

Writes into DIR (build/images):
  cubeplane-VERSION-amd64.oci.tar   the image; runtimes import it
  cubeplane-VERSION-amd64.cdx.json  what is in it (CycloneDX)

Options:
  --name NAME   of the image, without tag; localhost/cubeplane/cubeplane by default

The same sources give the same image, byte by byte. Needs Debian: libraries and programs come from its packages.
docs/installation.md says how to install it.
`;

const started = Date.now();
const say = (line: string) =>
  process.stderr.write(`${formatElapsed(Date.now() - started).padStart(5)}  ${line}\n`);
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      output: { type: 'string', default: join(ROOT, 'build/images') },
      name: { type: 'string', default: NAME },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (process.arch !== 'x64') throw new Error(`images are made on x86-64, and this is ${process.arch}`);
  const { output } = values;
  await mkdir(output, { recursive: true });
  const contents = collectContents(ROOT);
  say(
    `node ${contents.nodeVersion}, files of ${contents.packages.length} Debian packages, ${contents.modules.length} npm packages`,
  );
  const { version } = contents;
  const image = await makeImage(ROOT, values.name, contents, ({ name, size }, files) =>
    say(`layer ${name}: ${files} files, ${megabytes(size)} compressed`),
  );
  const path = join(output, `cubeplane-${version}-${ARCHITECTURE}`);
  const { digest } = documentsOf(image);
  const changed = await keep(image, `${path}.oci.tar`, digest);
  await writeFile(`${path}.cdx.json`, billOf(contents, { name: image.name, digest }));
  say(changed ? 'the archive is written' : 'the archive is there already');
  process.stdout.write(await summary(image, path, digest));
  return 0;
}

/** Writes the archive unless it is there. What is there was written whole, and says in its index which image it is. */
async function keep(image: Image, path: string, digest: string): Promise<boolean> {
  const head = await readStart(path);
  if (head.includes(digest) && head.includes(JSON.stringify(image.name))) return false;
  await writeArchive(image, path);
  return true;
}

async function readStart(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: 4095 })) chunks.push(chunk as Buffer);
  } catch {
    // not there
  }
  return Buffer.concat(chunks).toString();
}

async function summary(image: Image, path: string, digest: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(`${path}.oci.tar`), hash);
  const archive = relative(process.cwd(), `${path}.oci.tar`);
  return `image    ${image.name}
digest   ${digest}
archive  ${archive} (${megabytes((await stat(`${path}.oci.tar`)).size)}, sha256 ${hash.digest('hex')})
bill     ${relative(process.cwd(), `${path}.cdx.json`)}

Next, on each node:
  containerd   ctr -n k8s.io images import ${archive}
  k3s          cp ${archive} /var/lib/rancher/k3s/agent/images/
  kind         kind load image-archive ${archive}
  a registry   skopeo copy oci-archive:${archive} docker://REGISTRY/cubeplane:${image.name.replace(/.*:/, '')}
then: docs/installation.md
`;
}

process.exitCode = await main(process.argv.slice(2)).catch((failure: Error) => {
  process.stderr.write(`images: ${failure.message}\n`);
  return 1;
});

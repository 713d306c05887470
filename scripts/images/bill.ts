// SPDX-License-Identifier: Apache-2.0
/** The bill of materials of an image: CycloneDX, as scanners read it. */
import { Enums, Models, Serialize, SPDX, Spec } from '@cyclonedx/cyclonedx-library';
import { PackageURL } from 'packageurl-js';
import type { Contents } from './contents.ts';

const TYPE = Enums.ComponentType;

/** JSON of CycloneDX 1.6. Without time and serial number: the same image has the same bill. Pure. */
export function billOf(
  contents: Contents,
  image: { readonly name: string; readonly digest: string },
): string {
  const bom = new Models.Bom();
  const [repository = '', tag = ''] = image.name.split(/:(?=[^:]*$)/);
  bom.metadata.component = component(TYPE.Container, repository, tag, {
    purl: purl('oci', undefined, repository.split('/').at(-1) ?? '', image.digest, {
      repository_url: repository,
      tag,
    }),
    hash: [Enums.HashAlgorithm['SHA-256'], image.digest.replace('sha256:', '')],
    license: 'Apache-2.0',
  });
  const parts = [
    component(TYPE.Application, 'node', contents.nodeVersion, {
      purl: purl('generic', undefined, 'node', contents.nodeVersion, {}),
      license: 'MIT',
    }),
    ...contents.packages.map(({ name, version, architecture }) =>
      component(TYPE.Library, name, version, {
        purl: purl('deb', 'debian', name, version, { arch: architecture }),
      }),
    ),
    ...contents.modules.map(({ name, version, license, integrity }) => {
      const [base = '', scope] = name.split('/').reverse();
      const sum = integrity?.startsWith('sha512-')
        ? Buffer.from(integrity.slice(7), 'base64').toString('hex')
        : undefined;
      return component(TYPE.Library, name, version, {
        purl: purl('npm', scope, base, version, {}),
        ...(license === undefined ? {} : { license }),
        ...(sum === undefined ? {} : { hash: [Enums.HashAlgorithm['SHA-512'], sum] }),
      });
    }),
  ];
  for (const part of parts) {
    bom.components.add(part);
    bom.metadata.component.dependencies.add(part.bomRef);
  }
  const normalize = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(normalize).serialize(bom, { sortLists: true, space: 2 })}\n`;
}

interface Facts {
  readonly purl: string;
  /** SPDX expression. */
  readonly license?: string;
  readonly hash?: readonly [Enums.HashAlgorithm, string];
}

function component(type: Enums.ComponentType, name: string, version: string, facts: Facts): Models.Component {
  const one = new Models.Component(type, name, { version, purl: facts.purl, bomRef: facts.purl });
  if (facts.license !== undefined)
    one.licenses.add(
      SPDX.isSupportedSpdxId(facts.license)
        ? new Models.SpdxLicense(facts.license)
        : new Models.LicenseExpression(facts.license),
    );
  if (facts.hash !== undefined) one.hashes.set(...facts.hash);
  return one;
}

function purl(
  type: string,
  scope: string | undefined,
  name: string,
  version: string,
  more: Record<string, string>,
): string {
  return new PackageURL(type, scope, name, version, more, undefined).toString();
}

// SPDX-License-Identifier: Apache-2.0
// Directions of imports: api <- cubes <- dataplane; api <- k8s <- operators; cli on top. docs/architecture.md draws it.

/** Files of src/ (tests aside) that stand in `path` may import only what matches one of `allowed`, themselves, and packages. */
const only = (name, path, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path, pathNot: '\\.test\\.ts$' },
  to: { path: '^(src|scripts|test)/', pathNot: [path, ...allowed] },
});

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'two files that need each other are one file, or a third is missing',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'every import leads somewhere',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    only('api-imports-nothing-of-ours', '^src/api/', [], 'objects stand alone'),
    only('cubes-know-the-api', '^src/cubes/', ['^src/api/'], 'cube types are pure: objects in, map rows out'),
    only(
      'k8s-knows-the-api',
      '^src/k8s/',
      ['^src/api/'],
      'the client is about the API server, not about our functions',
    ),
    only(
      'operators-know-api-and-k8s',
      '^src/operators/',
      ['^src/api/', '^src/k8s/'],
      'controllers translate objects',
    ),
    only(
      'dataplane-knows-cubes',
      '^src/dataplane/',
      [
        '^src/api/',
        '^src/cubes/',
        '^src/k8s/',
        // the translators and what they are made of: pure, as the directory of manifests needs them
        '^src/operators/((service|node|service-chain|chain-status|chain-target|labels|inputs|diagnostic|address)[^/]*|identity|relevant)\\.ts$',
      ],
      'the agent makes the kernel match objects; of the operators it uses the pure translators',
    ),
    only(
      'nothing-imports-scripts-or-tests',
      '^src/',
      ['^src/'],
      'the product stands without its scripts and tests',
    ),
    {
      name: 'nobody-imports-the-cli',
      comment: 'the command line is on top',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'client-node-stays-in-k8s',
      comment: 'one folder knows the library, so one folder changes with it',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/k8s/' },
      to: { path: 'node_modules/@kubernetes/' },
    },
    {
      name: 'processes-stay-in-kernel',
      comment: 'programs of the system are run by the executor only',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/dataplane/kernel/', '\\.test\\.ts$'] },
      to: { path: '^(node:)?child_process$' },
    },
    {
      name: 'the-addon-stays-in-kernel',
      comment: 'only the executor touches the kernel; cubes and plans are data',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/dataplane/kernel/', '\\.test\\.ts$'] },
      to: { path: '^src/dataplane/kernel/addon/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.node$' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};

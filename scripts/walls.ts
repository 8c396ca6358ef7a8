/**
 * The walls of the house, checked: which folder may import which, no cycles, no deep imports across packages, no file
 * over 500 lines, no clock or randomness outside adapters. `docs/architecture.md` draws the same arrows for people.
 *
 * A rule that a change does not fit is a reason to change the design, with an entry in docs/decisions.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** What each package may import. Trust walls: the hub cannot reach signing code, nothing that ships can reach the lab. */
export const packageArrows: Record<string, readonly string[]> = {
  protocol: [],
  terminal: ['protocol'],
  agent: ['protocol', 'terminal'],
  hub: ['protocol'],
  cli: ['protocol', 'terminal'],
  // Runs in guests: what it knows of the host is the local API.
  controller: ['protocol'],
  lab: ['protocol', 'terminal', 'agent', 'hub', 'cli', 'controller'],
};

/** What each room of the agent may import. `*` = every room; a file directly in `src` is its own room. */
export const agentArrows: Record<string, readonly string[]> = {
  kernel: [],
  authority: ['kernel', 'host-policy.ts'],
  ports: ['kernel', 'authority'],
  'host-policy.ts': [],
  'config.ts': ['host-policy.ts'],
  'storage-manifest.ts': [],
  'storage-entry.ts': ['storage-manifest.ts'],
  storage: ['ports', 'kernel', 'host-policy.ts', 'progress.ts', 'storage-manifest.ts', 'storage-entry.ts'],
  monitoring: ['ports', 'kernel', 'host-policy.ts', 'progress.ts'],
  'host-key': ['ports'],
  trust: ['ports', 'kernel', 'host-policy.ts'],
  audit: ['kernel'],
  admission: ['authority', 'kernel', 'audit', 'host-policy.ts'],
  guests: ['ports', 'kernel', 'authority', 'host-policy.ts'],
  'bring-up': ['controllers', 'guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  removal: ['guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  adoption: ['guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  'break-glass': ['trust', 'ports', 'kernel', 'host-policy.ts'],
  jobs: [
    'trust',
    'removal',
    'adoption',
    'break-glass',
    'admission',
    'audit',
    'catalogue',
    'restores',
    'authority',
    'ports',
    'kernel',
    'host-policy.ts',
  ],
  catalogue: ['authority', 'kernel', 'host-policy.ts'],
  health: ['ports'],
  backups: ['catalogue', 'bring-up', 'guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  checkpoints: ['catalogue', 'backups', 'controllers', 'guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  'restore-tests': [
    'catalogue',
    'health',
    'bring-up',
    'guests',
    'audit',
    'ports',
    'kernel',
    'authority',
    'host-policy.ts',
  ],
  recovery: ['catalogue', 'controllers', 'bring-up', 'guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  restores: [
    'catalogue',
    'controllers',
    'bring-up',
    'guests',
    'removal',
    'ports',
    'kernel',
    'authority',
    'host-policy.ts',
  ],
  controllers: ['guests', 'ports', 'kernel', 'authority', 'host-policy.ts'],
  'stale-mounts': ['controllers', 'guests', 'ports', 'kernel', 'authority'],
  'local-api': [
    'controllers',
    'catalogue',
    'checkpoints',
    'admission',
    'break-glass',
    'audit',
    'ports',
    'kernel',
    'authority',
    'host-policy.ts',
  ],
  'root-verbs': [
    'trust',
    'break-glass',
    'ports',
    'kernel',
    'host-policy.ts',
    'storage-manifest.ts',
    'storage-entry.ts',
  ],
  'node-check': ['ports', 'kernel', 'host-policy.ts'],
  reconcile: ['guests', 'admission', 'authority', 'ports', 'kernel', 'host-policy.ts'],
  'hub-link': ['ports', 'kernel', 'authority', 'host-policy.ts'],
  overview: ['reconcile', 'admission', 'authority', 'hub-link', 'kernel', 'host-policy.ts'],
  doctor: ['node-check', 'monitoring', 'ports', 'kernel', 'host-policy.ts'],
  'admin-socket': ['admission', 'authority', 'reconcile', 'ports', 'kernel', 'host-policy.ts'],
  'open-work.ts': ['admission', 'authority', 'guests', 'kernel', 'reconcile'],
  'saga-registry.ts': [
    'bring-up',
    'guests',
    'removal',
    'adoption',
    'trust',
    'break-glass',
    'backups',
    'checkpoints',
    'restore-tests',
    'recovery',
    'restores',
    'stale-mounts',
    'controllers',
    'kernel',
  ],
  'saga-for-effect.ts': [
    'bring-up',
    'guests',
    'removal',
    'adoption',
    'trust',
    'break-glass',
    'backups',
    'checkpoints',
    'restore-tests',
    'recovery',
    'restores',
    'stale-mounts',
    'controllers',
    'catalogue',
    'admission',
    'authority',
    'kernel',
  ],
  adapters: ['ports', 'kernel', 'authority', 'hub-link', 'trust', 'host-key', 'host-policy.ts', 'storage-manifest.ts'],
  protection: [
    'audit',
    'local-api',
    'local-desk.ts',
    'admission',
    'authority',
    'bring-up',
    'backups',
    'catalogue',
    'checkpoints',
    'stale-mounts',
    'controllers',
    'recovery',
    'restore-tests',
    'restores',
    'reconcile',
    'guests',
    'ports',
    'kernel',
    'host-policy.ts',
  ],
  'local-desk.ts': ['controllers', 'local-api', 'admission', 'audit', 'authority', 'ports', 'kernel'],
  'signed-traffic.ts': ['jobs', 'audit', 'hub-link', 'trust', 'ports', 'kernel'],
  'signed-work.ts': [
    'signed-traffic.ts',
    'jobs',
    'audit',
    'admission',
    'authority',
    'break-glass',
    'hub-link',
    'overview',
    'trust',
    'ports',
    'kernel',
    'host-policy.ts',
  ],
  'slots.ts': ['ports'],
  'watch-host.ts': ['slots.ts', 'monitoring', 'guests', 'authority', 'ports', 'kernel', 'host-policy.ts'],
  commands: ['*'],
  'main.ts': ['*'],
  'agent-parts.ts': ['*'],
  'agent.ts': ['*'],
  'progress.ts': ['kernel'],
  'desired-source.ts': ['adapters', 'hub-link', 'kernel', 'ports', 'progress.ts', 'host-policy.ts'],
  'index.ts': ['*'],
  'version.ts': [],
};

const longestFile = 500;

/** Real time and randomness live in these places only; the simulation owns them everywhere else. */
const mayReadClock = [
  /^packages\/agent\/src\/(?:adapters\/|main\.ts$)/,
  /^packages\/(hub|cli|controller)\/src\/(main|adapters)/,
  /^packages\/hub\/src\/system\.ts$/,
  /^packages\/cli\/src\/system\.ts$/,
  /^packages\/lab\/src\/(?!fake-pve\/|simulation\/|crash-matrix\/)/,
  /^packages\/lab\/src\/fake-pve\/api\/server\.ts$/,
  /^packages\/lab\/src\/[^/]+\/main\.ts$/,
  /^(bench|scripts)\//,
];
const clockUse = /\b(?:Date\.now\(|new Date\(\)|Math\.random\(|setTimeout\(|setInterval\(|performance\.now\()/;

export interface Source {
  readonly path: string;
  readonly text: string;
}

export interface Breach {
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly from: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const importPattern = /(?:^|\n)\s*(import|export)(\s+type)?\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]/g;

function importsOf(source: Source): Import[] {
  return [...source.text.matchAll(importPattern)].map((match) => ({
    from: source.path,
    specifier: match[3] ?? '',
    typeOnly: match[2] !== undefined,
  }));
}

const packageOf = (path: string): string | undefined => /^packages\/([^/]+)\//.exec(path)?.[1];

/** `kernel` for packages/agent/src/kernel/journal.ts, `main.ts` for packages/agent/src/main.ts. */
const roomOf = (path: string): string | undefined => /^packages\/agent\/src\/([^/]+)/.exec(path)?.[1];

const isTest = (path: string): boolean => /\.test\.ts$|\/test\//.test(path);

/** Checks all sources at once; pure, so that the rules themselves have tests. */
export function findBreaches(sources: readonly Source[]): Breach[] {
  const breaches: Breach[] = [];
  const graph = new Map<string, string[]>();
  for (const source of sources) {
    const edges: string[] = [];
    for (const found of importsOf(source)) {
      breaches.push(...importBreaches(found, isTest(source.path)));
      if (!found.typeOnly && found.specifier.startsWith('.')) edges.push(join(dirname(source.path), found.specifier));
    }
    graph.set(source.path, edges);
    if (isTest(source.path)) continue;
    const lines = source.text.split('\n').length - 1;
    if (lines > longestFile)
      breaches.push({
        path: source.path,
        text: `has ${lines} lines; above ${longestFile} a file splits by capability`,
      });
    if (!mayReadClock.some((place) => place.test(source.path)))
      for (const [at, line] of source.text.split('\n').entries())
        if (clockUse.test(line) && !/^\s*(?:\*|\/\/)/.test(line))
          breaches.push({
            path: `${source.path}:${at + 1}`,
            text: 'reads the real clock or randomness; take it as an argument',
          });
  }
  return [...breaches, ...findCycles(graph)];
}

function importBreaches({ from, specifier }: Import, inTest: boolean): Breach[] {
  const breaches: Breach[] = [];
  const home = packageOf(from);
  const other = /^@felhom\/([^/]+)(\/.*)?$/.exec(specifier);
  if (home !== undefined && other !== null) {
    // A package may have a second door for the tests of others, and for nothing that runs.
    const forTests = /\.(?:test|fixture)\.ts$/.test(from) && /^\/[a-z-]+\.fixture$/.test(other[2] ?? '');
    if (other[2] !== undefined && !forTests)
      breaches.push({ path: from, text: `deep import of ${specifier}; use the package's door` });
    if (other[1] !== home && !(packageArrows[home] ?? []).includes(other[1] ?? ''))
      breaches.push({ path: from, text: `${home} must not import ${specifier}` });
  }
  if (!specifier.startsWith('.')) return breaches;
  const target = join(dirname(from), specifier);
  if (packageOf(target) !== home) {
    if (home !== undefined) breaches.push({ path: from, text: `relative import out of its package: ${specifier}` });
    return breaches;
  }
  const room = roomOf(from);
  const targetRoom = roomOf(target);
  if (room === undefined || targetRoom === undefined || room === targetRoom || inTest) return breaches;
  const allowed = agentArrows[room];
  if (allowed === undefined)
    breaches.push({ path: from, text: `room ${room} has no arrows; add it to scripts/walls.ts` });
  else if (!allowed.includes('*') && !allowed.includes(targetRoom))
    breaches.push({ path: from, text: `${room} must not import ${targetRoom} (${specifier})` });
  return breaches;
}

/** Cycles of value imports, each reported once by its first file. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): Breach[] {
  const state = new Map<string, 'open' | 'closed'>();
  const breaches: Breach[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'closed') return;
    if (state.get(path) === 'open') {
      breaches.push({ path, text: `import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}` });
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) if (graph.has(next)) visit(next, [...trail, path]);
    state.set(path, 'closed');
  };
  for (const path of graph.keys()) visit(path, []);
  return breaches;
}

export function readSources(root: string): Source[] {
  const files: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.name.endsWith('.ts')) files.push(path);
    }
  };
  for (const top of ['packages', 'scripts', 'bench']) walk(join(root, top));
  return files.sort().map((path) => ({ path: relative(root, path), text: readFileSync(path, 'utf8') }));
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '..');
  const sources = readSources(root);
  const breaches = findBreaches(sources);
  for (const breach of breaches) console.error(`${breach.path}: ${breach.text}`);
  console.log(`walls: ${sources.length} files, ${breaches.length} breaches`);
  process.exitCode = breaches.length > 0 ? 1 : 0;
}

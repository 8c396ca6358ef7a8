/**
 * Jobs about storage targets. What a signature binds comes from the host's own report, so nobody has to be at the host; the
 * mark of a disk is only there as its digest.
 */
import { describeIssues, leavesHost, storageTarget, targetIdentity } from '@felhom/protocol';
import type { ReportedTarget, StorageTarget } from '@felhom/protocol';
import { YAMLParseError, parse } from 'yaml';
import type { VerifiedHost } from '../verified-host.ts';
import { meaning, notShown, operand, usage } from './job-file.ts';
import type { Given, JobFile } from './job-file.ts';

const targetOperand = ['<target>', 'name of the target'] as const;

function reported(host: VerifiedHost, name: string): ReportedTarget {
  const found = host.report.targets.find((target) => target.name === name);
  if (found !== undefined) return found;
  throw notShown(
    `${host.hostId} reports no target ${JSON.stringify(name)}`,
    `felhom status ${host.hostId} shows its targets`,
  );
}

function bound(host: VerifiedHost, given: Given) {
  const { name, binding } = reported(host, operand(given, 0));
  if (binding !== undefined) return { target: name, ...binding };
  throw notShown(
    `the report of ${host.hostId} does not say what a signature about ${name} has to name`,
    'the agent on the host is of an older version; update it first',
  );
}

const words = (target: { readonly target: string; readonly serial: string; readonly uuid: string }): string =>
  `target ${target.target} (serial ${target.serial}, UUID ${target.uuid})`;

/** The good copies that the host has on record there, guest by guest. */
function copiesOn(host: VerifiedHost, name: string): readonly string[] {
  const storage = host.report.targets.find((target) => target.name === name)?.storage;
  const there = host.report.copies.filter(({ archive }) => archive.startsWith(`${storage}:`));
  return [...Map.groupBy(there, ({ guest }) => guest)].map(
    ([guest, copies]) => `${copies.length} ${copies.length === 1 ? 'copy' : 'copies'} of ${guest}`,
  );
}

async function declarationIn(given: Given, at: number): Promise<StorageTarget> {
  const text = await given.readFile(operand(given, at));
  try {
    const declaration = storageTarget.safeParse(parse(text, { maxAliasCount: 0 }));
    if (declaration.success) return declaration.data;
    throw usage(`the declaration does not read: ${describeIssues(declaration.error)}`);
  } catch (error) {
    if (error instanceof YAMLParseError) throw usage('the file is neither YAML nor JSON');
    throw error;
  }
}

export const targetAttach: JobFile<'target-attach'> = {
  kind: 'target-attach',
  commands: [
    {
      name: 'target-attach',
      about: 'make a disk with a file system, or a server, a storage target; formats nothing',
      operands: [['<file>', 'the declaration, YAML or JSON; felhom-agent storage attach --help names its fields']],
      options: [],
      params: async (_, given) => ({ declaration: await declarationIn(given, 0) }),
    },
  ],
  meaning: ({ declaration }) =>
    meaning(`attach storage target ${declaration.name}: ${targetIdentity(declaration)}, as ${declaration.role}`, {
      widens: leavesHost(declaration)
        ? [`Data of the guests goes to ${targetIdentity(declaration)}.`]
        : [`Data of the guests goes to a disk that can be taken away: ${targetIdentity(declaration)}.`],
      notes: [`In Proxmox it is storage ${declaration.storage}.`],
      classes: ['disclose'],
    }),
};

export const targetDetach: JobFile<'target-detach'> = {
  kind: 'target-detach',
  commands: [
    {
      name: 'target-detach',
      about: 'stop using a storage target',
      operands: [targetOperand],
      options: [],
      params: bound,
    },
  ],
  meaning: (target, host) =>
    meaning(`detach ${words(target)}`, {
      loses: ['the copies on it, as far as this host is concerned', ...copiesOn(host, target.target)],
      notes: ['Nothing on it is touched.'],
      classes: ['destroy', 'disclose'],
    }),
};

export const targetWipe: JobFile<'target-wipe'> = {
  kind: 'target-wipe',
  commands: [
    {
      name: 'target-wipe',
      about: 'erase what was a storage target; it has to be detached',
      operands: [targetOperand],
      options: [],
      params: (host, given) => {
        const { name, state, type } = reported(host, operand(given, 0));
        if (type !== 'local-dir' && type !== 'usb') throw usage(`${name} is a server; what lies on it is wiped there`);
        if (state === 'decommissioned') return bound(host, given);
        throw usage(`${name} is in use; detach it first: felhom job target-detach ${host.hostId} ${name}`);
      },
    },
  ],
  meaning: (target, host) =>
    meaning(`erase ${words(target)}`, {
      loses: ['everything on it, for good', ...copiesOn(host, target.target)],
      notes: [
        'This is no secure erase: its signatures, its first and its last MiBs are overwritten, and what lies between stays readable for whoever has the disk.',
      ],
      classes: ['destroy', 'disclose'],
      atLeast: 2,
    }),
};

export const targetRePoint: JobFile<'target-re-point'> = {
  kind: 'target-re-point',
  commands: [
    {
      name: 'target-re-point',
      about: 'the same server under another address, certificate, user or credential',
      operands: [targetOperand, ['<file>', 'the whole declaration as it is to be, YAML or JSON']],
      options: [],
      params: async (host, given) => {
        const { name, type } = reported(host, operand(given, 0));
        const declaration = await declarationIn(given, 1);
        if (declaration.name !== name) throw usage(`the declaration is of ${declaration.name} and not of ${name}`);
        // The host looks at every field; this one it could not even say in other words.
        if (type === 'local-dir' || type === 'usb')
          throw usage('a disk has no address: attach the new one under a new name, then detach the old one');
        return { ...bound(host, given), declaration };
      },
    },
  ],
  meaning: ({ declaration, ...target }) =>
    meaning(`re-point ${words(target)} to ${targetIdentity(declaration)}`, {
      widens: [`Copies of the guests' data go to ${targetIdentity(declaration)}.`],
      notes: [
        ...('credential' in declaration
          ? [`As ${declaration.user}, with the credential ${declaration.credential} that root keeps on the host.`]
          : []),
        `It is to be the same server with the same copies; storage ${declaration.storage} of Proxmox then leads there.`,
      ],
      classes: ['destroy', 'disclose'],
    }),
};

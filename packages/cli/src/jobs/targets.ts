/** Jobs about storage targets. Wiping and re-pointing come later: their shape is known, hosts of this release refuse. */
import { describeIssues, leavesHost, storageTarget, targetIdentity } from '@felhom/protocol';
import { YAMLParseError, parse } from 'yaml';
import { meaning, operand, requiredOption, usage } from './job-file.ts';
import type { Given, JobFile } from './job-file.ts';

const targetOperand = ['<target>', 'name of the target'] as const;
const targetOptions = [
  ['--serial <serial>', 'serial number of the device'],
  ['--uuid <uuid>', 'UUID of its file system'],
  ['--id-file <id>', 'what its id file says'],
] as const;
const targetOf = (given: Given) => ({
  target: operand(given, 0),
  serial: requiredOption(given, 'serial'),
  uuid: requiredOption(given, 'uuid'),
  idFile: requiredOption(given, 'idFile'),
});
const words = (target: { readonly target: string; readonly serial: string; readonly uuid: string }): string =>
  `target ${target.target} (serial ${target.serial}, UUID ${target.uuid})`;

export const targetAttach: JobFile<'target-attach'> = {
  kind: 'target-attach',
  commands: [
    {
      name: 'target-attach',
      about: 'make a disk with a file system, or a server, a storage target; formats nothing',
      operands: [['<file>', 'the declaration, YAML or JSON; felhom-agent storage attach --help names its fields']],
      options: [],
      params: async (_, given) => {
        const text = await given.readFile(operand(given, 0));
        try {
          const declaration = storageTarget.safeParse(parse(text, { maxAliasCount: 0 }));
          if (declaration.success) return { declaration: declaration.data };
          throw usage(`the declaration does not read: ${describeIssues(declaration.error)}`);
        } catch (error) {
          if (error instanceof YAMLParseError) throw usage('the file is neither YAML nor JSON');
          throw error;
        }
      },
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
      options: targetOptions,
      params: (_, given) => targetOf(given),
    },
  ],
  meaning: (target) =>
    meaning(`detach ${words(target)}`, {
      loses: ['the copies on it, as far as this host is concerned'],
      classes: ['destroy', 'disclose'],
    }),
};

export const targetWipe: JobFile<'target-wipe'> = {
  kind: 'target-wipe',
  later: true,
  commands: [
    {
      name: 'target-wipe',
      about: 'erase a storage target',
      operands: [targetOperand],
      options: targetOptions,
      params: (_, given) => targetOf(given),
    },
  ],
  meaning: (target) =>
    meaning(`erase ${words(target)}`, {
      loses: ['everything on it, for good'],
      classes: ['destroy', 'disclose', 'removal'],
      atLeast: 2,
    }),
};

export const targetRePoint: JobFile<'target-re-point'> = {
  kind: 'target-re-point',
  later: true,
  commands: [
    {
      name: 'target-re-point',
      about: 'send what goes to a target to another address',
      operands: [targetOperand],
      options: [...targetOptions, ['--to <address>', 'the new address']],
      params: (_, given) => ({ ...targetOf(given), to: requiredOption(given, 'to') }),
    },
  ],
  meaning: (target) =>
    meaning(`re-point ${words(target)} to ${target.to}`, {
      widens: [`Copies of the guests' data go to ${target.to}.`],
      classes: ['destroy', 'disclose'],
    }),
};

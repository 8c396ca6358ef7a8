/** Jobs about storage targets: their shape is known, their machinery comes later. */
import { meaning, operand, requiredOption } from './job-file.ts';
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

export const targetDetach: JobFile<'target-detach'> = {
  kind: 'target-detach',
  later: true,
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

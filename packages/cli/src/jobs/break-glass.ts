import { parsePublicKey } from '@felhom/protocol';
import { listOption, meaning, requiredOption, usage, wholeNumber } from './job-file.ts';
import type { VerifiedHost } from '../verified-host.ts';
import type { JobFile } from './job-file.ts';

export const breakGlassOpen: JobFile<'break-glass-open'> = {
  kind: 'break-glass-open',
  commands: [
    {
      name: 'break-glass open',
      about: 'let one key log in to the host for a while; every customer on it has to consent',
      operands: [],
      options: [
        ['--minutes <minutes>', 'how long, at most 480'],
        ['--login-key <file>', 'public key file that may log in'],
        [
          '--consent <id...>',
          "ids of the standing consents of the guests' customers; those that the host reports unless told",
        ],
      ],
      params: async (host, given) => {
        const key = parsePublicKey(await given.readFile(requiredOption(given, 'loginKey')));
        if (key === undefined)
          throw usage('--login-key has to be the file of an ssh-ed25519 or sk-ssh-ed25519 public key');
        return {
          minutes: wholeNumber(requiredOption(given, 'minutes'), '--minutes'),
          key: key.line,
          consents: consentsOf(host, listOption(given, 'consent')),
        };
      },
    },
  ],
  meaning: ({ minutes, key, consents }, host) =>
    meaning(`open ${host.hostId} for ${minutes} minutes`, {
      widens: [
        `Whoever holds key ${parsePublicKey(key)?.fingerprint ?? key} can log in to the host, and sees the data of every guest on it.`,
      ],
      notes: [
        ...consentNotes(consents, host),
        'It closes by itself when the time is over, with a reboot, and with felhom job break-glass close.',
      ],
      classes: ['disclose'],
    }),
};

function consentsOf(host: VerifiedHost, named: readonly string[]): readonly string[] {
  const ids = named.length > 0 ? named : host.report.consents.map(({ id }) => id);
  return [...new Set(ids)].sort();
}

function consentNotes(consents: readonly string[], host: VerifiedHost): readonly string[] {
  const given = new Map(host.report.consents.map(({ guest, id }) => [id, guest]));
  const without = host.report.guests
    .filter(({ uid, name }) => uid !== undefined && !host.report.consents.some(({ guest }) => guest === name))
    .map(({ name }) => name);
  return [
    consents.length === 0
      ? 'No consent of a customer is named.'
      : `Consents: ${consents.map((id) => `${id} (${given.get(id) ?? 'not among those that the host reports'})`).join(', ')}`,
    ...(without.length === 0 ? [] : [`Nobody consented for ${without.join(', ')}: the host will refuse.`]),
  ];
}

export const breakGlassClose: JobFile<'break-glass-close'> = {
  kind: 'break-glass-close',
  commands: [
    { name: 'break-glass close', about: 'close it before its time', operands: [], options: [], params: () => ({}) },
  ],
  meaning: (_, host) =>
    meaning(`close break-glass on ${host.hostId}`, { notes: ['Sessions that are open are ended.'] }),
};

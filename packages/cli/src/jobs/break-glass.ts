import { parsePublicKey } from '@felhom/protocol';
import { listOption, meaning, requiredOption, usage, wholeNumber } from './job-file.ts';
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
        ['--consent <id...>', "ids of the standing consents of the guests' customers"],
      ],
      params: async (_, given) => {
        const key = parsePublicKey(await given.readFile(requiredOption(given, 'loginKey')));
        if (key === undefined)
          throw usage('--login-key has to be the file of an ssh-ed25519 or sk-ssh-ed25519 public key');
        return {
          minutes: wholeNumber(requiredOption(given, 'minutes'), '--minutes'),
          key: key.line,
          consents: [...new Set(listOption(given, 'consent'))].sort(),
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
        consents.length === 0 ? 'No consent of a customer is named.' : `Consents: ${consents.join(', ')}`,
        'It closes by itself when the time is over, with a reboot, and with felhom job break-glass close.',
      ],
      classes: ['disclose'],
    }),
};

export const breakGlassClose: JobFile<'break-glass-close'> = {
  kind: 'break-glass-close',
  commands: [
    { name: 'break-glass close', about: 'close it before its time', operands: [], options: [], params: () => ({}) },
  ],
  meaning: (_, host) =>
    meaning(`close break-glass on ${host.hostId}`, { notes: ['Sessions that are open are ended.'] }),
};

import { meaning, requiredOption } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const hubRePoint: JobFile<'hub-re-point'> = {
  kind: 'hub-re-point',
  later: true,
  commands: [
    {
      name: 'hub-re-point',
      about: 'make the host poll another hub',
      operands: [],
      options: [
        ['--url <url>', 'address of the new hub, https://…'],
        ['--spki <sha256>', 'SHA-256 of its public key, 64 hex digits'],
      ],
      params: (_, given) => ({ url: requiredOption(given, 'url'), spkiSha256: requiredOption(given, 'spki') }),
    },
  ],
  meaning: ({ url, spkiSha256 }, host) =>
    meaning(`make ${host.hostId} poll ${url}`, {
      loses: ['contact with the present hub'],
      widens: [
        `Whoever runs ${url} (public key ${spkiSha256}) sees the reports of the host and sends desired state to it.`,
      ],
      classes: ['disclose'],
      atLeast: 2,
    }),
};

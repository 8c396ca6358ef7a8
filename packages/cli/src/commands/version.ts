import { readFileSync } from 'node:fs';
import { desiredStateVersions, reportVersions } from '@felhom/protocol';
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';

export function addVersion(program: Command, context: CommandContext): void {
  program
    .command('version')
    .description('print the version, and the versions of documents it understands')
    .option('--json', 'print JSON')
    .action((options: { readonly json?: boolean }) => {
      const facts = { version: cliVersion(), desiredState: desiredStateVersions, report: reportVersions };
      context.print(options, facts, () => {
        return `felhom ${facts.version} (desired state ${facts.desiredState.join(', ')}; report ${facts.report.join(', ')})\n`;
      });
    });
}

function cliVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?';
}

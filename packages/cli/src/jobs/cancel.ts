import { meaning, notShown, operand } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const cancel: JobFile<'cancel'> = {
  kind: 'cancel',
  commands: [
    {
      name: 'cancel',
      about: 'stop a job before it takes effect; any one signer can',
      operands: [['<job>', 'id of the job, or its first letters']],
      options: [],
      params: (host, given) => {
        const prefix = operand(given, 0);
        const found = host.report.jobs.filter(({ jobId }) => jobId.startsWith(prefix));
        const [only] = found;
        if (only !== undefined && found.length === 1) return { job: only.jobId };
        throw notShown(
          `${host.hostId} reports ${found.length === 0 ? 'no job' : 'more than one job'} that begins with ${JSON.stringify(prefix)}`,
          `felhom jobs ${host.hostId} lists them`,
        );
      },
    },
  ],
  meaning: (params, host) => {
    const known = host.report.jobs.find(({ jobId }) => jobId === params.job);
    const what =
      known === undefined ? '' : ` (${known.kind}${known.guest === '' ? '' : ` of ${known.guest}`}, ${known.state})`;
    return meaning(`cancel job ${params.job}${what}`, {
      notes: known === undefined ? ['The host does not report this job.'] : [],
    });
  },
};

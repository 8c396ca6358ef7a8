/** Runs a controller inside this process: where there is no Docker, an image is the program that would be in it. */
import type { Images, ImageOrder, RunningImage } from '../ports.ts';
import type { Controller } from '../controller/controller.ts';

/** `crash`: digests whose program ends after so many milliseconds, for stories about bad images. */
export interface InProcessOptions {
  readonly make: (order: Pick<ImageOrder, 'config'>) => Controller;
  readonly onController?: (controller: Controller | undefined) => void;
  readonly crash?: (digest: string, signal: AbortSignal) => Promise<void> | undefined;
}

export function createInProcessImages(options: InProcessOptions): Images & {
  readonly builtIn: (signal: AbortSignal) => Promise<RunningImage>;
} {
  const run = (config: Readonly<Record<string, string>>, digest: string | undefined): RunningImage => {
    const stop = new AbortController();
    const controller = options.make({ config });
    options.onController?.(controller);
    const failing = digest === undefined ? undefined : options.crash?.(digest, stop.signal);
    const works = controller.run(stop.signal).then(() => ({ text: 'it ended by itself' }));
    const ended = Promise.race([
      works,
      ...(failing === undefined ? [] : [failing.then(() => ({ text: 'it crashed' }))]),
    ])
      .catch((error: unknown) => ({ text: error instanceof Error ? error.message : String(error) }))
      .then((end) => {
        stop.abort();
        options.onController?.(undefined);
        return end;
      });
    return {
      ended,
      health: () => controller.health(),
      stop: async () => {
        stop.abort();
        await ended;
      },
    };
  };
  return {
    run: ({ config, digest }) => Promise.resolve(run(config, digest)),
    builtIn: () => Promise.resolve(run({}, undefined)),
  };
}

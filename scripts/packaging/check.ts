import { checkCompose } from './check-compose.js'
import { checkDockerfile } from './check-dockerfile.js'
import { Facts, type Project } from './project.js'

/** Everything that is wrong with how the service is packed in containers, as far as the files alone show it. */
export function checkPackaging(project: Project): string[] {
  const facts = new Facts(project)
  return [
    ...Array.from(checkDockerfile(facts), (problem) => `Dockerfile: ${problem}`),
    ...Array.from(checkCompose(facts), (problem) => `compose.yaml: ${problem}`),
  ]
}

-- The canary gets no more requests, and isn't tried again until the spec changes.
local os = require("os")
obj.status.rollout.request = {
  action = "Abort",
  revision = obj.status.canary.revision,
  id = "argo-cd-" .. os.time(),
}
return obj

import jax
import jax.numpy as jnp
import numpy as np

from aiga.envs.arm import Arm

KEY = jax.random.key(0)


def test_the_straight_arm_ends_at_the_right_edge_and_is_perfect():
    arm = Arm()
    found = arm(KEY, arm.start[None])
    assert found.fitness.tolist() == [0]
    assert np.allclose(found.descriptor, [[1, 0.5]])


def test_two_joints_by_hand():
    found = Arm(joints=2)(KEY, jnp.array([[jnp.pi / 2, -jnp.pi / 2], [jnp.pi, 0.0]]))
    assert np.allclose(found.descriptor, [[0.75, 0.75], [0, 0.5]], atol=1e-6)
    assert np.allclose(found.fitness, [-((np.pi / 2) ** 2), -((np.pi / 2) ** 2)], atol=1e-5)


def test_equal_links_and_the_end_within_the_box():
    arm = Arm()
    joints = np.asarray(arm.joint_positions(jax.random.normal(KEY, (500, 10)) * 2))
    assert np.allclose(np.linalg.norm(np.diff(joints, axis=1), axis=-1), 0.05, atol=1e-6)
    assert ((joints[:, -1] >= arm.low) & (joints[:, -1] <= arm.high)).all()
